package org.img2imu.core

import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.max

/**
 * A Markov chain of classes in continuous time.
 *
 * @property rates changes a second from the class of the row to that of the column; rows sum to 0
 * @throws InputError if they are no such matrix, or a class is never left
 */
class Chain(private val rates: List<DoubleArray>) {
    val size = rates.size

    init {
        val largest = rates.maxOfOrNull { row -> row.maxOfOrNull(::abs) ?: 0.0 } ?: 0.0
        val valid = rates.withIndex().all { (from, row) ->
            row.size == size && row.all(Double::isFinite) && abs(row.sum()) <= 1e-6 * largest &&
                row.withIndex().all { (to, rate) -> to == from || rate >= 0 }
        }
        ensure(size > 0 && valid) {
            "rates of a chain must be a square matrix, its rows sum to 0 and only its diagonal is below 0"
        }
    }

    /**
     * How often each class is met in the long run.
     *
     * W. Grassmann, M. Taksar and D. Heyman's elimination, Operations Research 33 (1985): no difference is taken.
     */
    val stationary: DoubleArray = DoubleArray(size).also { shares ->
        val left = rates.map { it.copyOf() }
        val leaving = DoubleArray(size)
        for (last in size - 1 downTo 1) {
            leaving[last] = (0 until last).sumOf { left[last][it] }
            ensure(leaving[last] > 0) { "a chain needs a way from each class to each other" }
            for (from in 0 until last) {
                val share = left[from][last] / leaving[last]
                for (to in 0 until last) left[from][to] += share * left[last][to]
            }
        }
        shares[0] = 1.0
        for (to in 1 until size) shares[to] = (0 until to).sumOf { shares[it] * left[it][to] } / leaving[to]
        val total = shares.sum()
        for (index in shares.indices) shares[index] /= total
    }

    private val power = DoubleArray(size * size)
    private val scratch = DoubleArray(size * size)

    /**
     * Writes the logarithms of the transition probabilities over some seconds, row by row.
     *
     * The matrix exponential by uniformisation (A. Jensen, 1953) of a part of the time, and squaring.
     */
    fun logTransitions(seconds: Double, into: DoubleArray) {
        val fastest = rates.indices.maxOf { -rates[it][it] }
        var halvings = 0
        var part = seconds
        while (fastest * part > 0.5) {
            part /= 2
            halvings++
        }
        if (fastest > 0) series(part, fastest, into) else identity(into)
        repeat(halvings) {
            multiply(into, into, scratch)
            scratch.copyInto(into)
        }
        for (from in 0 until size) {
            var total = 0.0
            for (to in 0 until size) total += into[from * size + to]
            for (to in 0 until size) into[from * size + to] = ln(into[from * size + to] / total)
        }
    }

    /** The sum of Poisson's probabilities of n steps times the chain of single steps to the power n. */
    private fun series(seconds: Double, fastest: Double, sum: DoubleArray) {
        val step = DoubleArray(size * size) {
            max(0.0, rates[it / size][it % size] / fastest + if (it / size == it % size) 1 else 0)
        }
        val mean = fastest * seconds
        var weight = exp(-mean)
        identity(power)
        for (index in sum.indices) sum[index] = weight * power[index]
        for (count in 1..TERMS) {
            multiply(power, step, scratch)
            scratch.copyInto(power)
            weight *= mean / count
            for (index in sum.indices) sum[index] += weight * power[index]
        }
    }

    private fun identity(matrix: DoubleArray) {
        for (index in matrix.indices) matrix[index] = if (index / size == index % size) 1.0 else 0.0
    }

    private fun multiply(one: DoubleArray, other: DoubleArray, product: DoubleArray) {
        for (row in 0 until size) for (column in 0 until size) {
            var sum = 0.0
            for (inner in 0 until size) sum += one[row * size + inner] * other[inner * size + column]
            product[row * size + column] = sum
        }
    }

    companion object {
        /** Of the series: with a mean of at most a half the rest is below 1e-17. */
        private const val TERMS = 14

        /** Seconds between changes of the class where no labelled recordings told them. */
        const val DWELL = 30.0

        /** One that is redrawn every [dwell] seconds in the mean, all classes alike. */
        fun sticky(classes: Int, dwell: Double = DWELL) = Chain(
            List(classes) { from ->
                DoubleArray(classes) { to -> (1.0 / classes - if (to == from) 1 else 0) / dwell }
            },
        )
    }
}
