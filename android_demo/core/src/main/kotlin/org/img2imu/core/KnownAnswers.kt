package org.img2imu.core

import kotlinx.serialization.json.JsonElement
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.io.encoding.Base64
import kotlin.math.sin

/**
 * A few windows with the answers that Python had for them, from a model's own metadata.
 *
 * @property windows 3 × sensors × samples each
 * @property probabilities of each window
 * @property allowed largest difference of a probability, for each window
 */
class KnownAnswers private constructor(
    val windows: List<FloatArray>,
    val probabilities: List<FloatArray>,
    val allowed: List<Double>,
) {
    companion object {
        private const val WHAT = "the model's known answers"

        /** More than any exporter writes; a file from elsewhere could say anything. */
        private const val MOST = 1000

        /** @throws InputError if they are damaged, or of another model */
        internal fun parse(json: String, info: ModelInfo): KnownAnswers {
            val settings = Settings.parse(WHAT, json)
            val shape = settings.wholes("shape")
            ensure(shape.drop(1) == listOf(3 * info.sensors.size, info.samples) && shape[0] in 1..MOST) {
                "$WHAT are of windows $shape, not of its own"
            }
            val bytes = try {
                Base64.decode(settings.text("windows"))
            } catch (error: IllegalArgumentException) {
                throw InputError("$WHAT are damaged: ${error.message}", error)
            }
            val size = shape[1] * shape[2]
            val probabilities = settings.list("probabilities").map { floats(it) }
            val allowed = settings.numbers("allowed")
            val counted = listOf(bytes.size / 4 / size, probabilities.size, allowed.size)
            ensure(bytes.size % (4 * size) == 0 && counted.all { it == shape[0] }) {
                "$WHAT are not whole: ${counted.joinToString()} of ${shape[0]}"
            }
            ensure(probabilities.all { it.size == info.labels.size }) {
                "$WHAT are not of its ${info.labels.size} labels"
            }
            val buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            return KnownAnswers(List(shape[0]) { FloatArray(size).also(buffer::get) }, probabilities, allowed)
        }

        private fun floats(list: JsonElement): FloatArray =
            Settings(WHAT, mapOf("probabilities" to list))
                .numbers("probabilities").map { it.toFloat() }.toFloatArray()
    }
}

/**
 * Runs a model on windows with known answers.
 *
 * A quantised file knows its own answers in ONNX Runtime on a computer, and allows for processors that round
 * integers in another way.
 */
fun selfTest(known: KnownAnswers, model: Model): SelfTestResult {
    val pipeline = Pipeline(model)
    var largest = 0.0
    var labels = 0
    var passed = true
    for ((index, window) in known.windows.withIndex()) {
        val expected = known.probabilities[index]
        val answer = pipeline.classify(window)
        val gap = expected.indices.maxOf { difference(answer.probabilities[it], expected[it]) }
        largest = maxOf(largest, gap)
        passed = passed && gap <= known.allowed[index]
        if (answer.best != expected.indices.maxBy { expected[it] }) labels++
    }
    return SelfTestResult(known.windows.size, null, null, null, largest, labels, passed)
}

/** Gravity and a movement of two hertz along all axes, for a model that brings no windows. */
fun plainWindow(info: ModelInfo): FloatArray {
    val movement = FloatArray(info.samples) { 0.3f * sin(4 * Math.PI * it / info.samplingRate).toFloat() }
    return FloatArray(3 * info.sensors.size * info.samples) {
        movement[it % info.samples] + if (it / info.samples == 2) 1f else 0f
    }
}
