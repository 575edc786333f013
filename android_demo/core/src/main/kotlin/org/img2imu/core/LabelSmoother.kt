package org.img2imu.core

/** What is said of a window once its neighbours are known; the next one overwrites it. */
class Label(classes: Int) {
    /** Of the window, in seconds since the recording's first segment began. */
    var start = 0.0
        internal set

    /** Of the classes, smoothed over time. */
    val probabilities = FloatArray(classes)

    /** Whether it lies in a stretch unlike what the model has learnt; null where the model cannot tell. */
    var unknown: Boolean? = null
        internal set
}

/**
 * Labels smoothed over time, and the unknown, as Python's `StreamingClassifier` gives them.
 *
 * A window is strange if its strangeness is above the percentile [KEPT] of known windows of people left out. One alone
 * says little: like the classes, the unknown is a hidden state.
 *
 * @param info of the model whose answers are smoothed
 * @param overlap share of a window that the next one repeats
 * @param lag windows that are waited for
 * @param listener called from within [push] and [finish]
 * @throws InputError if the model's transitions are none
 */
class LabelSmoother(info: ModelInfo, overlap: Double, lag: Int, private val listener: (Label) -> Unit) {
    private val label = Label(info.labels.size)
    private val strangest = info.strangeness?.get(KEPT)
    private val chain = info.transitions?.let { rows -> Chain(rows.map { it.toDoubleArray() }) }
        ?: Chain.sticky(info.labels.size)
    private val stride = stride(info.samples, overlap) / info.samplingRate
    private val classes = FixedLagSmoother(chain, lag, stride, ::give)
    private val unknown = FixedLagSmoother(Chain.sticky(2), lag, stride) { _, known -> told.addLast(known[1] > 0.5) }

    private val likelihood = DoubleArray(info.labels.size)

    /** Of a window being strange or not, where classes are known and where not: of an unknown class every other one is. */
    private val chances = doubleArrayOf(0.0, 0.5)

    /** Of the windows whose label comes next, whether they are unknown. */
    private val told = ArrayDeque<Boolean>(lag + 1)

    /** Takes the answer to the next window, which begins at [start] seconds. */
    fun push(start: Double, answer: Answer) {
        if (strangest != null && !answer.strangeness.isNaN()) {
            chances[0] = if (answer.strangeness > strangest) 1 - KEPT / 100.0 else KEPT / 100.0
            unknown.push(start, chances)
        }
        for (each in likelihood.indices) likelihood[each] = answer.probabilities[each].toDouble()
        classes.push(start, likelihood)
    }

    /** Gives the labels still due; the next window begins another recording. */
    fun finish() {
        unknown.finish()
        classes.finish()
    }

    private fun give(start: Double, probabilities: DoubleArray) {
        label.start = start
        label.unknown = told.removeFirstOrNull()
        for (index in probabilities.indices) label.probabilities[index] = probabilities[index].toFloat()
        listener(label)
    }

    companion object {
        /** Percent of the known windows of unknown people that are not strange. */
        private const val KEPT = 95
    }
}
