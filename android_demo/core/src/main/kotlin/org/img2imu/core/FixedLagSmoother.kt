package org.img2imu.core

import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.round

/** Receives what is said of each window in its turn; the array is used again for the next one. */
fun interface PosteriorListener {
    /**
     * @param start of the window, in seconds
     * @param probabilities of the classes
     */
    fun onPosterior(start: Double, probabilities: DoubleArray)
}

/**
 * A hidden Markov model's forward–backward while windows come: each is answered for [lag] windows later.
 *
 * The same as Python's `FixedLagSmoother`; see docs/timeline.md. All memory is taken at the beginning.
 *
 * @param chain of the classes
 * @param lag windows that are waited for; 0 answers at once, which is the filter
 * @param stride seconds from a window to the next where there is no gap
 * @param listener called from within [push] and [finish]
 * @throws InputError if [lag] is negative
 */
class FixedLagSmoother(
    private val chain: Chain,
    private val lag: Int,
    private val stride: Double,
    private val listener: PosteriorListener,
) {
    /** A window that waits: its log-likelihood by class, and the transitions to it where a gap is before it. */
    private class Waiting(classes: Int) {
        var start = 0.0
        val told = DoubleArray(classes)
        val acrossGap = DoubleArray(classes * classes)
        var plain = true
    }

    private val classes = chain.size
    private val restart = DoubleArray(classes) { ln(chain.stationary[it]) }
    private val plainMove = DoubleArray(classes * classes)
    private val ring: List<Waiting>
    private var first = 0
    private var waiting = 0

    /** Of the window answered last: its start, and the logarithm of its filtered probabilities. */
    private var answeredStart = Double.NaN
    private val answered = DoubleArray(classes)
    private val initial = DoubleArray(classes)
    private val later = DoubleArray(classes)
    private val ahead = DoubleArray(classes)
    private val posterior = DoubleArray(classes)

    init {
        ensure(lag >= 0) { "lag must be at least 0, not $lag" }
        ring = List(lag + 1) { Waiting(classes) }
        chain.logTransitions(stride, plainMove)
    }

    /** Takes the next window; [likelihood] of each class, but for a factor, as a classifier's probability is. */
    fun push(start: Double, likelihood: DoubleArray) {
        require(likelihood.size == classes) { "${likelihood.size} numbers instead of $classes" }
        if (waiting > 0 && start <= at(waiting - 1).start) finish()
        val before = if (waiting > 0) at(waiting - 1).start else answeredStart
        val window = at(waiting)
        window.start = start
        for (each in 0 until classes) window.told[each] = ln(max(likelihood[each], java.lang.Double.MIN_NORMAL))
        if (start > before) {
            val steps = round((start - before) / stride).coerceIn(1.0, LONGEST)
            window.plain = steps == 1.0
            if (!window.plain) chain.logTransitions(steps * stride, window.acrossGap)
        }
        waiting++
        if (waiting > lag) answer()
    }

    /** Answers what still waits; the next window begins another recording. */
    fun finish() {
        while (waiting > 0) answer()
        answeredStart = Double.NaN
    }

    private fun at(place: Int) = ring[(first + place) % ring.size]

    private fun moveTo(window: Waiting) = if (window.plain) plainMove else window.acrossGap

    /** Says of the first window that waits what all of them tell. */
    private fun answer() {
        val window = at(0)
        expect(window)
        lookBack()
        for (each in 0 until classes) posterior[each] = initial[each] + window.told[each] + later[each]
        normalise(posterior)
        for (each in 0 until classes) posterior[each] = exp(posterior[each])
        for (each in 0 until classes) answered[each] = initial[each] + window.told[each]
        normalise(answered)
        answeredStart = window.start
        first = (first + 1) % ring.size
        waiting--
        listener.onPosterior(window.start, posterior)
    }

    /** The logarithm of what is known of a window without it and those after it. */
    private fun expect(window: Waiting) {
        if (!(window.start > answeredStart)) {
            restart.copyInto(initial)
            return
        }
        val move = moveTo(window)
        for (to in 0 until classes) initial[to] = logSum { answered[it] + move[it * classes + to] }
    }

    /** The logarithm of what the windows after the first one tell of its class. */
    private fun lookBack() {
        later.fill(0.0)
        for (place in waiting - 1 downTo 1) {
            val window = at(place)
            val move = moveTo(window)
            var most = Double.NEGATIVE_INFINITY
            for (each in 0 until classes) most = max(most, later[each])
            for (each in 0 until classes) ahead[each] = window.told[each] + later[each] - most
            for (from in 0 until classes) later[from] = logSum { move[from * classes + it] + ahead[it] }
        }
    }

    private fun normalise(logs: DoubleArray) {
        val total = logSum { logs[it] }
        for (each in logs.indices) logs[each] -= total
    }

    /** The logarithm of a sum over the classes, of the terms' logarithms. */
    private inline fun logSum(term: (Int) -> Double): Double {
        var most = Double.NEGATIVE_INFINITY
        for (each in 0 until classes) most = max(most, term(each))
        if (most == Double.NEGATIVE_INFINITY) return most
        var total = 0.0
        for (each in 0 until classes) total += exp(term(each) - most)
        return most + ln(total)
    }

    private companion object {
        /** Strides after which a gap is as good as endless. */
        const val LONGEST = 1000.0
    }
}
