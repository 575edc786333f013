package org.img2imu.core

/** Standard gravity in m/s²: sensors of phones report m/s², everything here is in g. */
const val STANDARD_GRAVITY = 9.80665f

/**
 * A model with the pictures of its views: windows in, answers out.
 *
 * Closing it closes the model. Not for two threads at once.
 */
class Pipeline(val model: Model) : AutoCloseable {
    val info = model.info

    /** What the model was trained on; null for an encoder that reads windows. */
    val pictures: Pictures? = if (info.views.isEmpty()) null else Pictures(info.views, info.samples)

    /** Draws the window where the model wants pictures: what [infer] takes. */
    fun convert(window: FloatArray): FloatArray =
        if (info.form == Form.IMAGE) checkNotNull(pictures).draw(window) else window

    /** Runs the model on what [convert] gave. */
    fun infer(input: FloatArray): Answer = model.run(input)

    /** Classifies a window of 3 × samples in g; the next call overwrites the answer. */
    fun classify(window: FloatArray): Answer = infer(convert(window))

    override fun close() = model.close()
}

/** Receives the answer to each window; window and answer are used again for the next one. */
fun interface AnswerListener {
    /** @param start of the window, in seconds since the recording's first sample */
    fun onAnswer(start: Double, window: FloatArray, answer: Answer)
}

/**
 * Labels a live sensor, or a recording, window by window: the answers that Python gives for it.
 *
 * @param pipeline what classifies
 * @param rate nominal rate of the sensor in Hz
 * @param overlap share of a window that the next one repeats, from 0 to below 1
 * @param listener called from within [push] and [finish]
 * @throws InputError if the rate cannot be turned into the model's
 */
class LiveClassifier(pipeline: Pipeline, rate: Double, overlap: Double = 0.5, listener: AnswerListener) {
    private val resampler = Resampler(
        rate,
        pipeline.info.samplingRate,
        sink = WindowBuffer(
            pipeline.info.samples,
            stride(pipeline.info.samples, overlap),
            pipeline.info.samplingRate,
        ) { start, window -> listener.onAnswer(start, window, pipeline.classify(window)) },
    )

    /** Takes the sensor's next sample: nanoseconds on any clock, and acceleration in g. */
    fun push(nanoseconds: Long, x: Float, y: Float, z: Float) = resampler.push(nanoseconds, x, y, z)

    /** Ends the recording: gives the answers still due; the next push starts another. */
    fun finish() = resampler.finish()
}
