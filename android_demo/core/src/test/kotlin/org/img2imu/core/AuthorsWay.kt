package org.img2imu.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.log10
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

/**
 * Spectrograms as the paper's authors compute them on the phone: cell by cell, each a direct sum of
 * complex numbers. Slow and plain, it is also what the fast way is tested against.
 */
class AuthorsWay(private val view: SpectrogramView) {
    private class Complex(val real: Double, val imaginary: Double) {
        operator fun plus(other: Complex) = Complex(real + other.real, imaginary + other.imaginary)

        operator fun times(factor: Double) = Complex(real * factor, imaginary * factor)

        fun squared() = real * real + imaginary * imaginary
    }

    /** 3 × height × width levels in [0, 1] of 3 × samples in g. */
    fun draw(window: FloatArray): FloatArray {
        val decibels = decibels(window)
        val picture = List(3) { resize(normalize(decibels, it)) }.flatten()
        return FloatArray(picture.size) { picture[it].toFloat() }
    }

    /** 3 × bins × frames of 3 × samples in g: the part that takes the time. */
    fun decibels(window: FloatArray): List<List<List<Double>>> {
        val samples = window.size / 3
        return List(3) { axis -> decibels(List(samples) { window[axis * samples + it].toDouble() }) }
    }

    private fun decibels(axis: List<Double>): List<List<Double>> {
        val mean = if (view.detrend) axis.average() else 0.0
        val signal = axis.map { it - mean } + List(max(0, view.nfft - axis.size)) { 0.0 }
        val taper = List(view.nfft) { 0.5 * (1 - cos(2 * PI * it / (view.nfft - 1))) }
        val scale = 1 / (view.samplingRate * taper.sumOf { it * it })
        return List(view.bins) { bin ->
            val sides = if (bin == 0 || 2 * bin == view.nfft) 1 else 2
            List(view.frames(axis.size)) { frame ->
                var sum = Complex(0.0, 0.0)
                for (n in 0 until view.nfft) {
                    val angle = -2 * PI * bin * n / view.nfft
                    sum += Complex(cos(angle), sin(angle)) * (taper[n] * signal[frame * view.hop + n])
                }
                10 * log10(max(sides * scale * sum.squared(), view.floor))
            }
        }
    }

    private fun normalize(decibels: List<List<List<Double>>>, axis: Int): List<List<Double>> {
        val seen = if (view.normalize == Normalization.AXIS) decibels[axis].flatten() else decibels.flatten().flatten()
        var low = seen.min()
        var high = seen.max()
        view.dynamicRange?.let { low = max(low, high - it) }
        if (view.normalize == Normalization.FIXED) {
            low = view.lowDb
            high = view.highDb
        }
        val spread = if (high - low < 0.01) Double.POSITIVE_INFINITY else high - low
        return decibels[axis].map { row -> row.map { ((it - low) / spread).coerceIn(0.0, 1.0) } }
    }

    /** Bilinear, half-pixel centres, the lowest bin at the bottom. */
    private fun resize(levels: List<List<Double>>): List<Double> {
        val top = levels.reversed()
        return List(view.height * view.width) {
            val y = position(it / view.width, top.size, view.height)
            val x = position(it % view.width, top[0].size, view.width)
            val (row, below) = y.toInt() to min(y.toInt() + 1, top.size - 1)
            between(between(top[row], x), between(top[below], x), y - row)
        }
    }

    private fun position(pixel: Int, source: Int, target: Int) =
        ((pixel + 0.5) * source / target - 0.5).coerceIn(0.0, source - 1.0)

    private fun between(row: List<Double>, x: Double) =
        between(row[x.toInt()], row[min(x.toInt() + 1, row.size - 1)], x - x.toInt())

    private fun between(a: Double, b: Double, weight: Double) = a + weight * (b - a)
}
