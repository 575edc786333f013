package org.img2imu.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.log10
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sqrt

/**
 * RGB spectrograms of windows of one length; see [SpectrogramView].
 *
 * The power spectral density is that of `matplotlib.mlab.specgram`: symmetric Hann window, no
 * centring, no padding of the edges, one-sided.
 */
class Spectrogram(override val view: SpectrogramView, private val samples: Int) : Painter {
    private val frames = view.frames(samples)
    private val bins = view.bins
    private val taper = taper(view)

    // What is missing to a whole frame is zero, beside gravity too.
    private val signal = DoubleArray(max(samples, view.nfft))
    private val fourier = Fourier(view.nfft, 3 * frames)

    // Of each axis, bins × frames: first densities, then levels.
    private val levels = Array(3) { FloatArray(bins * frames) }
    private val lows = FloatArray(3)
    private val highs = FloatArray(3)

    private val columns = Neighbours(frames, view.width)
    private val rows = Neighbours(bins, view.height)
    private val wide = FloatArray(bins * view.width)

    override fun draw(window: FloatArray, picture: FloatArray, offset: Int, start: Int) {
        require(start >= 0 && start + 3 * samples <= window.size) { "no 3 x $samples of ${window.size} numbers" }
        for (axis in 0 until 3) load(window, start + axis * samples, axis)
        for (bin in 0 until bins) density(bin)
        for (axis in 0 until 3) extremes(axis)
        chooseRange()
        for (axis in 0 until 3) {
            normalize(levels[axis], lows[axis], highs[axis])
            widen(levels[axis])
            heighten(picture, offset + axis * view.height * view.width)
        }
    }

    private fun load(window: FloatArray, start: Int, axis: Int) {
        val mean = if (view.detrend) mean(window, start, samples) else 0.0
        for (index in 0 until samples) signal[index] = window[start + index] - mean
        fourier.load(axis * frames, frames, signal, view.hop, taper)
    }

    private fun density(bin: Int) {
        fourier.bin(bin)
        val sides = if (bin == 0 || 2 * bin == view.nfft) 1.0 else 2.0
        val floor = view.floor.toFloat()
        for (axis in 0 until 3) {
            val target = levels[axis]
            for (frame in 0 until frames) {
                val real = fourier.real[axis * frames + frame]
                val imaginary = fourier.imaginary[axis * frames + frame]
                target[bin * frames + frame] = max((sides * (real * real + imaginary * imaginary)).toFloat(), floor)
            }
        }
    }

    private fun extremes(axis: Int) {
        var low = Float.MAX_VALUE
        var high = 0f
        for (density in levels[axis]) {
            low = min(low, density)
            high = max(high, density)
        }
        lows[axis] = log2(low)
        highs[axis] = log2(high)
    }

    private fun chooseRange() {
        when (view.normalize) {
            Normalization.AXIS -> Unit
            Normalization.WINDOW -> {
                lows.fill(min(lows[0], min(lows[1], lows[2])))
                highs.fill(max(highs[0], max(highs[1], highs[2])))
            }
            Normalization.FIXED -> {
                lows.fill((view.lowDb / DB_PER_OCTAVE).toFloat())
                highs.fill((view.highDb / DB_PER_OCTAVE).toFloat())
                return
            }
        }
        val range = view.dynamicRange ?: return
        for (axis in 0 until 3) lows[axis] = max(lows[axis], highs[axis] - (range / DB_PER_OCTAVE).toFloat())
    }

    private fun widen(levels: FloatArray) {
        for (bin in 0 until bins) {
            val source = bin * frames
            val target = bin * view.width
            for (x in 0 until view.width) {
                val first = levels[source + columns.first[x]]
                val second = levels[source + columns.second[x]]
                wide[target + x] = first + columns.weight[x] * (second - first)
            }
        }
    }

    /** Resizes along frequency, the lowest at the bottom. */
    private fun heighten(picture: FloatArray, offset: Int) {
        for (y in 0 until view.height) {
            val target = offset + (view.height - 1 - y) * view.width
            val first = rows.first[y] * view.width
            val second = rows.second[y] * view.width
            blend(wide, first, second, rows.weight[y], picture, target)
        }
    }

    private fun blend(source: FloatArray, first: Int, second: Int, weight: Float, target: FloatArray, start: Int) {
        for (x in 0 until view.width) {
            val value = source[first + x]
            target[start + x] = value + weight * (source[second + x] - value)
        }
    }

    private companion object {
        val DB_PER_OCTAVE = 10 * log10(2.0)

        /** A range of less than 0.01 dB shows rounding, not signal: it becomes zeros. */
        val CONSTANT = (0.01 / DB_PER_OCTAVE).toFloat()

        /** Scaled so that the squared magnitude of the spectrum is the two-sided density. */
        fun taper(view: SpectrogramView): DoubleArray {
            val hann = DoubleArray(view.nfft) { 0.5 - 0.5 * cos(2 * PI * it / (view.nfft - 1)) }
            val scale = 1 / sqrt(view.samplingRate * hann.sumOf { it * it })
            return DoubleArray(view.nfft) { scale * hann[it] }
        }

        fun normalize(levels: FloatArray, low: Float, high: Float) {
            val gain = if (high - low >= CONSTANT) 1 / (high - low) else 0f
            for (index in levels.indices) {
                levels[index] = min(max((log2(levels[index]) - low) * gain, 0f), 1f)
            }
        }
    }
}

/** The logarithm of a positive, normal float to 3e-6: its exponent, and a polynomial of its mantissa. */
internal fun log2(value: Float): Float {
    val bits = value.toRawBits()
    val exponent = (bits ushr 23) - 127
    val m = (bits and 0x7FFFFF) * (1f / 0x800000)
    return exponent + (C0 + m * (C1 + m * (C2 + m * (C3 + m * (C4 + m * (C5 + m * C6))))))
}

// log2(1 + m) for m in [0, 1), interpolated at Chebyshev's points.
private const val C0 = 2.4434387e-06f
private const val C1 = 1.4424535f
private const val C2 = -0.71731275f
private const val C3 = 0.45450848f
private const val C4 = -0.27269757f
private const val C5 = 0.117613085f
private const val C6 = -0.024568535f
