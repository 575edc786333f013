package org.img2imu.core

import kotlin.math.exp

/** Signed traces of windows of one length; see [WaveformView]. */
class Waveform(override val view: WaveformView, private val samples: Int) : Painter {
    private val columns = Neighbours(samples, view.width)

    // sigmoid(trace - level) is 1 / (1 + exp(level) exp(-trace)): one exponential for each row and
    // column instead of one for each pixel. Taken from the middle row they stay within range.
    private val rows = DoubleArray(view.height) { exp(view.height * (0.25 - 0.5 * it / (view.height - 1))) }
    private val trace = DoubleArray(view.width)

    override fun draw(window: FloatArray, picture: FloatArray, offset: Int, start: Int) {
        require(start >= 0 && start + 3 * samples <= window.size) { "no 3 x $samples of ${window.size} numbers" }
        for (axis in 0 until 3) {
            follow(window, start + axis * samples)
            fill(picture, offset + axis * view.height * view.width)
        }
    }

    /** Resizes one axis to the width, as exponentials. */
    private fun follow(window: FloatArray, start: Int) {
        val bottom = view.low + if (view.detrend) mean(window, start, samples) else 0.0
        val gain = steepness(view.high - view.low)
        val reach = view.height / 4.0 + BEYOND
        for (x in 0 until view.width) {
            val first = window[start + columns.first[x]]
            val value = first + columns.weight[x] * (window[start + columns.second[x]] - first)
            val height = (value - bottom) * gain - view.height / 4.0
            trace[x] = exp(-height.coerceIn(-reach, reach))
        }
    }

    private fun fill(picture: FloatArray, offset: Int) {
        for (y in 0 until view.height) fillRow(picture, offset + y * view.width, rows[y])
    }

    private fun fillRow(picture: FloatArray, start: Int, row: Double) {
        for (x in 0 until view.width) picture[start + x] = (1 / (1 + row * trace[x])).toFloat()
    }

    private fun steepness(range: Double) = view.height / 2.0 / range

    private companion object {
        /** So far outside the picture everything is black or white. */
        const val BEYOND = 40.0
    }
}
