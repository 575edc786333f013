package org.img2imu.core

import kotlin.math.abs
import kotlin.math.max

/**
 * Largest differences from known answers.
 *
 * @property windows compared
 * @property images largest difference of a level that was drawn here; null without views
 * @property greyLevels largest difference after rounding to 256 grey levels; null without views
 * @property logits largest difference; null if no model was given
 * @property probabilities largest difference; null if no model was given
 * @property labels windows whose label differs
 * @property passed whether all lie within the tolerances of the golden vectors; of a quantised model
 *   only the labels have to agree
 */
data class SelfTestResult(
    val windows: Int,
    val images: Double?,
    val greyLevels: Int?,
    val logits: Double?,
    val probabilities: Double?,
    val labels: Int,
    val passed: Boolean,
)

/**
 * Draws the golden windows, runs the model on them and compares both with the golden answers.
 *
 * @param model of the golden network; null to compare the pictures only
 * @throws InputError if the model is another one
 */
fun selfTest(golden: Golden, model: Model? = null): SelfTestResult {
    model?.info?.let { info ->
        val same = info.labels == golden.labels && info.samples == golden.samples
        ensure(same && info.sensors == golden.sensors && info.views == golden.views) {
            "the golden vectors belong to another model"
        }
    }
    val comparison = Comparison(golden, model)
    for (index in golden.windows.indices) comparison.compare(index)
    return comparison.result()
}

private class Comparison(private val golden: Golden, private val model: Model?) {
    private val pictures = if (golden.images.isEmpty()) null else Pictures(golden.views, golden.samples, golden.sensors)
    private var images = 0.0
    private var greyLevels = 0
    private var logits = 0.0
    private var probabilities = 0.0
    private var labels = 0
    private val quantised = model?.info?.quantization != null
    private var passed = true

    fun compare(index: Int) {
        val window = golden.windows[index]
        val drawn = pictures?.draw(window)
        if (drawn != null) compareImages(drawn, golden.images[index])
        if (model != null) compareAnswers(model.run(drawn.takeIf { model.info.form == Form.IMAGE } ?: window), index)
    }

    private fun compareImages(drawn: FloatArray, expected: FloatArray) {
        for (pixel in expected.indices) {
            images = max(images, difference(drawn[pixel], expected[pixel]))
            greyLevels = max(greyLevels, abs(grey(drawn[pixel]) - grey(expected[pixel])))
        }
        passed = passed && images <= golden.tolerance.getValue("images") && greyLevels <= 1
    }

    private fun compareAnswers(answer: Answer, index: Int) {
        val expected = golden.logits[index]
        val largest = expected.maxOf { abs(it.toDouble()) }
        // What the model itself draws from the samples is as exact as they are.
        val rounding = if (model?.info?.form == Form.END_TO_END) golden.rounding[index].toDouble() else 0.0
        val allowed =
            golden.tolerance.getValue("logits") + golden.tolerance.getValue("logits_relative") * largest + rounding
        val logitsHere = expected.indices.maxOf { difference(answer.logits[it], expected[it]) }
        val probabilitiesHere =
            expected.indices.maxOf { difference(answer.probabilities[it], golden.probabilities[index][it]) }
        logits = max(logits, logitsHere)
        probabilities = max(probabilities, probabilitiesHere)
        if (answer.best != expected.indices.maxBy { expected[it] }) labels++
        val close =
            logitsHere <= allowed && probabilitiesHere <= golden.tolerance.getValue("probabilities") + rounding
        passed = passed && labels == 0 && (close || quantised)
    }

    fun result() = SelfTestResult(
        golden.windows.size,
        if (pictures == null) null else images,
        if (pictures == null) null else greyLevels,
        if (model == null) null else logits,
        if (model == null) null else probabilities,
        labels,
        passed,
    )
}

/** NaN counts as the largest difference there is. */
internal fun difference(a: Float, b: Float): Double =
    abs(a.toDouble() - b).let { if (it.isNaN()) Double.POSITIVE_INFINITY else it }
