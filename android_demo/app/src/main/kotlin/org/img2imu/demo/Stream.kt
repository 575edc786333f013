package org.img2imu.demo

import org.img2imu.core.Answer
import org.img2imu.core.Label
import org.img2imu.core.LabelSmoother
import org.img2imu.core.LiveClassifier
import org.img2imu.core.Pipeline

/**
 * What was found in one window.
 *
 * @property start of the window, in seconds since the stream's first sample
 * @property scores of all labels given the windows so far, the likeliest first
 * @property unknown whether it is unlike what the model has learnt
 * @property pictures what the model saw, one after the other: opaque colours, height × width
 * @property number of windows so far, this one included
 */
class Moment(
    val start: Double,
    val scores: List<Score>,
    val unknown: Boolean,
    val pictures: List<IntArray>,
    val width: Int,
    val height: Int,
    val number: Int,
) {
    val label get() = if (unknown) UNKNOWN else scores[0].label
    val confidence get() = scores[0].probability

    companion object {
        const val UNKNOWN = "unknown"
    }
}

/** A label, its number in the model, and its probability. */
class Score(val label: String, val number: Int, val probability: Float)

/**
 * What a window was labelled, for the strip of the last minute.
 *
 * @property start in seconds since the stream's first sample, as [end]
 * @property number of the label in the model; -1 where it is unknown
 */
class Past(val start: Double, val end: Double, val label: String, val number: Int)

/**
 * What a screen shows of a stream.
 *
 * @property moment the latest window; null until the first one is full
 * @property past windows of the last minute, in their order
 * @property status one line about the stream as a whole
 * @property problem why nothing is to be seen, in one sentence
 */
data class StreamState(
    val moment: Moment? = null,
    val past: List<Past> = emptyList(),
    val status: String = "",
    val problem: String? = null,
)

/** Labels samples window by window, smoothed over time; on the worker thread only. */
class Stream(
    private val pipeline: Pipeline,
    rates: List<Double>,
    overlap: Double,
    private val onMoment: (Moment, List<Past>) -> Unit,
) {
    private val classifier = LiveClassifier(pipeline, rates, overlap, ::take)
    private val smoother = LabelSmoother(pipeline.info, overlap, LAG, ::say)
    private var past = emptyList<Past>()
    private var windows = 0

    /** Takes the next sample of the model's sensor of this number; see [LiveClassifier.push]. */
    fun push(sensor: Int, nanoseconds: Long, x: Float, y: Float, z: Float) =
        classifier.push(sensor, nanoseconds, x, y, z)

    fun finish() {
        classifier.finish()
        smoother.finish()
    }

    private fun take(start: Double, window: FloatArray, answer: Answer) {
        pipeline.pictures?.draw(window)
        smoother.push(start, answer)
    }

    private fun say(label: Label) {
        val scores = pipeline.info.labels.mapIndexed { index, name -> Score(name, index, label.probabilities[index]) }
            .sortedByDescending { it.probability }
        val drawn = pipeline.pictures
        val size = drawn?.run { width * height } ?: 0
        val pictures = List(drawn?.count ?: 0) { index -> IntArray(size).also { drawn?.argb(index, it) } }
        windows++
        val moment = Moment(
            label.start, scores, label.unknown == true, pictures, drawn?.width ?: 0, drawn?.height ?: 0, windows,
        )
        remember(moment)
        onMoment(moment, past)
    }

    private fun remember(moment: Moment) {
        val end = moment.start + pipeline.info.run { samples / samplingRate }
        val number = if (moment.unknown) -1 else moment.scores[0].number
        // A clock that was set back begins another minute.
        val before = if (moment.start < (past.lastOrNull()?.start ?: moment.start)) emptyList() else past
        past = before.dropWhile { it.end < end - MEMORY_SECONDS } + Past(moment.start, end, moment.label, number)
    }

    companion object {
        /**
         * Windows that a label waits for: none, so that it is that of the pictures. What comes later changes
         * little: see results/timeline.
         */
        const val LAG = 0

        /** Of the strip. */
        const val MEMORY_SECONDS = 60.0
    }
}
