package org.img2imu.core

import kotlin.math.max
import kotlin.math.round

/** Receives windows; the array is used again for the next one. */
fun interface WindowListener {
    /**
     * @param start of the window, in seconds since the recording's first segment began
     * @param window 3 × sensors × samples: all of x, then y, then z, of each sensor in turn
     */
    fun onWindow(start: Double, window: FloatArray)
}

/** Samples between the starts of neighbouring windows that share [overlap], from 0 to below 1. */
fun stride(samples: Int, overlap: Double): Int {
    ensure(overlap >= 0 && overlap < 1) { "overlap must be from 0 to below 1, not $overlap" }
    return max(1, round(samples * (1 - overlap)).toInt())
}

/**
 * Cuts segments of uniform samples into overlapping windows, each as soon as it is complete.
 *
 * @param samples of a window
 * @param stride samples between the starts of neighbouring windows, at most [samples]
 * @param rate of the samples, in Hz
 * @param axes of a sample, three of each sensor
 */
class WindowBuffer(
    private val samples: Int,
    private val stride: Int,
    private val rate: Double,
    private val axes: Int = 3,
    private val listener: WindowListener,
) : UniformSink {
    private val ring = FloatArray(axes * samples)
    private val window = FloatArray(axes * samples)
    private var start = 0.0
    private var received = 0L

    init {
        require(stride in 1..samples) { "a stride of $stride for windows of $samples samples" }
    }

    override fun begin(start: Double) {
        this.start = start
        received = 0
    }

    override fun sample(values: FloatArray) {
        val slot = (received % samples).toInt()
        for (axis in 0 until axes) ring[axis * samples + slot] = values[axis]
        received++
        val first = received - samples
        if (first >= 0 && first % stride == 0L) {
            unroll((received % samples).toInt())
            listener.onWindow(start + first / rate, window)
        }
    }

    /** Copies the ring in the order of time; its oldest sample lies at [oldest]. */
    private fun unroll(oldest: Int) {
        val later = samples - oldest
        for (axis in 0 until axes) {
            val row = axis * samples
            System.arraycopy(ring, row + oldest, window, row, later)
            System.arraycopy(ring, row, window, row + later, oldest)
        }
    }
}
