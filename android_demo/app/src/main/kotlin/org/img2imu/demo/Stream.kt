package org.img2imu.demo

import org.img2imu.core.Answer
import org.img2imu.core.LiveClassifier
import org.img2imu.core.Pipeline

/**
 * What was found in one window.
 *
 * @property start of the window, in seconds since the stream's first sample
 * @property scores of all labels, the likeliest first
 * @property pictures what the model saw, one after the other: opaque colours, height × width
 * @property number of windows so far, this one included
 */
class Moment(
    val start: Double,
    val scores: List<Score>,
    val pictures: List<IntArray>,
    val width: Int,
    val height: Int,
    val number: Int,
) {
    val label get() = scores[0].label
    val confidence get() = scores[0].probability
}

class Score(val label: String, val probability: Float)

/**
 * What a screen shows of a stream.
 *
 * @property moment the latest window; null until the first one is full
 * @property status one line about the stream as a whole
 * @property problem why nothing is to be seen, in one sentence
 */
data class StreamState(val moment: Moment? = null, val status: String = "", val problem: String? = null)

/** Labels samples window by window; on the worker thread only. */
class Stream(
    private val pipeline: Pipeline,
    rates: List<Double>,
    overlap: Double,
    private val onMoment: (Moment) -> Unit,
) {
    private val classifier = LiveClassifier(pipeline, rates, overlap, ::take)
    private var windows = 0

    /** Takes the next sample of the model's sensor of this number; see [LiveClassifier.push]. */
    fun push(sensor: Int, nanoseconds: Long, x: Float, y: Float, z: Float) =
        classifier.push(sensor, nanoseconds, x, y, z)

    fun finish() = classifier.finish()

    private fun take(start: Double, window: FloatArray, answer: Answer) {
        val scores = answer.labels.mapIndexed { index, label -> Score(label, answer.probabilities[index]) }
        val drawn = pipeline.pictures
        drawn?.draw(window)
        val size = drawn?.run { width * height } ?: 0
        val pictures = List(drawn?.count ?: 0) { index -> IntArray(size).also { drawn?.argb(index, it) } }
        windows++
        onMoment(
            Moment(
                start,
                scores.sortedByDescending { it.probability },
                pictures,
                drawn?.width ?: 0,
                drawn?.height ?: 0,
                windows,
            ),
        )
    }
}
