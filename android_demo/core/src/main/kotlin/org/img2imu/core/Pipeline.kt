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
    val pictures: Pictures? = if (info.views.isEmpty()) null else Pictures(info.views, info.samples, info.sensors)

    /** Draws the window where the model wants pictures: what [infer] takes. */
    fun convert(window: FloatArray): FloatArray =
        if (info.form == Form.IMAGE) checkNotNull(pictures).draw(window) else window

    /** Runs the model on what [convert] gave. */
    fun infer(input: FloatArray): Answer = model.run(input)

    /** Classifies a window of 3 × sensors × samples; the next call overwrites the answer. */
    fun classify(window: FloatArray): Answer = infer(convert(window))

    override fun close() = model.close()
}

/** Receives the answer to each window; window and answer are used again for the next one. */
fun interface AnswerListener {
    /** @param start of the window, in seconds since the recording's first segment began */
    fun onAnswer(start: Double, window: FloatArray, answer: Answer)
}

/**
 * Labels live sensors, or a recording, window by window: the answers that Python gives for them.
 *
 * @param pipeline what classifies
 * @param rates nominal rate in Hz of each sensor of the model
 * @param overlap share of a window that the next one repeats, from 0 to below 1
 * @param listener called from within [push] and [finish]
 * @throws InputError if a rate cannot be turned into the model's
 */
class LiveClassifier(pipeline: Pipeline, rates: List<Double>, overlap: Double = 0.5, listener: AnswerListener) {
    private val resampler: Resampler

    init {
        val info = pipeline.info
        require(rates.size == info.sensors.size) { "${rates.size} rates for ${info.sensors.size} sensors" }
        val stride = stride(info.samples, overlap)
        val windows = WindowBuffer(info.samples, stride, info.samplingRate, 3 * rates.size) { start, window ->
            listener.onAnswer(start, window, pipeline.classify(window))
        }
        resampler = Resampler(rates.map { Sampling(it) }, info.samplingRate, windows)
    }

    /**
     * Takes the next sample of a sensor.
     *
     * @param sensor its number in the model
     * @param nanoseconds on one clock for all sensors
     * @param x in the unit of the sensor's kind, as [y] and [z]
     */
    fun push(sensor: Int, nanoseconds: Long, x: Float, y: Float, z: Float) =
        resampler.push(sensor, nanoseconds, x, y, z)

    /** Ends the recording: gives the answers still due; the next push starts another. */
    fun finish() = resampler.finish()
}
