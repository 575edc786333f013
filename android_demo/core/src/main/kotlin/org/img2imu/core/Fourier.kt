package org.img2imu.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.sin

/**
 * Discrete Fourier transform of many real columns at once, as a product with the Fourier basis.
 *
 * Samples mirrored about a column's middle meet the same cosine and opposite sines: their sum and
 * difference, formed once, halve the work. The inner loops run over columns, which lie side by
 * side, so that compilers turn them into vector instructions.
 */
internal class Fourier(private val length: Int, private val columns: Int) {
    private val bins = length / 2 + 1
    private val cosineRows = roundUp(bins - 1)
    private val sineRows = roundUp(sineCount())
    private val cosines = DoubleArray(bins * cosineRows)
    private val sines = DoubleArray(bins * sineRows)
    private val first = DoubleArray(columns)
    private val sums = DoubleArray(cosineRows * columns)
    private val differences = DoubleArray(sineRows * columns)

    /** The bin asked for last: one value for each column. */
    val real = DoubleArray(columns)
    val imaginary = DoubleArray(columns)

    init {
        for (bin in 0 until bins) {
            for (row in 1 until bins) cosines[bin * cosineRows + row - 1] = cos(angle(bin, row))
            for (row in 1..sineCount()) sines[bin * sineRows + row - 1] = -sin(angle(bin, row))
        }
    }

    /**
     * Takes `count` columns, from number `column` on: stretches of a signal, `hop` samples apart, tapered.
     */
    fun load(column: Int, count: Int, signal: DoubleArray, hop: Int, taper: DoubleArray) {
        for (index in 0 until count) first[column + index] = taper[0] * signal[index * hop]
        for (row in 1..sineCount()) {
            val target = (row - 1) * columns + column
            val mirrored = length - row
            for (index in 0 until count) {
                val early = taper[row] * signal[index * hop + row]
                val late = taper[mirrored] * signal[index * hop + mirrored]
                sums[target + index] = early + late
                differences[target + index] = early - late
            }
        }
        if (length % 2 == 0) {
            val middle = length / 2
            val target = (middle - 1) * columns + column
            for (index in 0 until count) sums[target + index] = taper[middle] * signal[index * hop + middle]
        }
    }

    /** Computes one bin of all columns into [real] and [imaginary]. */
    fun bin(bin: Int) {
        // The cosine of the first sample is one in every bin.
        System.arraycopy(first, 0, real, 0, columns)
        imaginary.fill(0.0)
        combine(cosines, bin * cosineRows, cosineRows, sums, real)
        // Neither the mean nor the fastest alternation has a sine.
        if (bin > 0 && 2 * bin < length) combine(sines, bin * sineRows, sineRows, differences, imaginary)
    }

    private fun combine(basis: DoubleArray, start: Int, rows: Int, source: DoubleArray, target: DoubleArray) {
        // Not a stepped range: that is an object.
        var row = 0
        while (row < rows) {
            accumulate(
                target,
                source,
                row * columns,
                basis[start + row],
                basis[start + row + 1],
                basis[start + row + 2],
                basis[start + row + 3],
            )
            row += UNROLLED
        }
    }

    private fun accumulate(
        target: DoubleArray,
        source: DoubleArray,
        start: Int,
        a: Double,
        b: Double,
        c: Double,
        d: Double,
    ) {
        val second = start + columns
        val third = second + columns
        val fourth = third + columns
        for (column in 0 until columns) {
            target[column] += a * source[start + column] + b * source[second + column] +
                (c * source[third + column] + d * source[fourth + column])
        }
    }

    private fun sineCount() = (length - 1) / 2

    private fun angle(bin: Int, row: Int) = 2 * PI * (bin * row % length) / length

    private fun roundUp(rows: Int) = (rows + UNROLLED - 1) / UNROLLED * UNROLLED

    private companion object {
        const val UNROLLED = 4
    }
}
