package org.img2imu.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.round
import kotlin.math.sin

/** Receives uniform samples, segment after segment. */
interface UniformSink {
    /** A new segment begins [start] seconds after the recording's first sample. */
    fun begin(start: Double)

    /** The segment's next sample, in g. */
    fun sample(x: Float, y: Float, z: Float)
}

/** Longest step in seconds that is bridged at [rate] Hz: half a second, or five periods. */
fun defaultMaxGap(rate: Double): Double = max(0.5, 5 / rate)

/**
 * Turns the samples of a recording, as they come, into uniform segments at another rate.
 *
 * 1. Samples that are not finite are dropped, and so are those whose time does not rise.
 * 2. Where time jumps by more than [maxGap], ahead or back, a new segment starts.
 * 3. Each segment is interpolated linearly onto a grid of rate [rateIn] that starts at its first
 *    sample. Samples within a tenth of a period of a grid point are taken as they are.
 * 4. The grid goes through a polyphase low-pass to [rateOut], its ends extended by their values.
 *
 * Same answers as `img2imu.recordings.Resampler`; `docs/streaming.md` has every step. All memory is
 * taken on construction.
 *
 * @param rateIn nominal rate of the recording in Hz
 * @param rateOut rate wanted in Hz
 * @param maxGap longest step in seconds that is bridged
 * @param sink receives the uniform samples
 * @throws InputError if a rate or [maxGap] is not positive, or the rates differ more than thousandfold
 */
class Resampler(
    rateIn: Double,
    rateOut: Double,
    private val maxGap: Double = defaultMaxGap(rateIn),
    private val sink: UniformSink,
) {
    private val polyphase = Polyphase(Ratio.of(rateIn, rateOut), sink)
    private val grid = Grid(rateOut * polyphase.ratio.down / polyphase.ratio.up, polyphase)
    private var opened = false
    private var origin = 0L
    private var last = Double.NEGATIVE_INFINITY

    /** Samples received since the last [finish], and how many of them were of no use. */
    var received = 0L
        private set
    var dropped = 0L
        private set

    init {
        ensure(maxGap > 0 && maxGap < Double.POSITIVE_INFINITY) {
            "the longest gap must be a positive number of seconds, not $maxGap"
        }
    }

    /** Takes the next sample: nanoseconds on any clock, and acceleration in g. */
    fun push(nanoseconds: Long, x: Float, y: Float, z: Float) {
        received++
        if (!(x - x + (y - y) + (z - z) == 0f)) {
            dropped++
            return
        }
        if (last == Double.NEGATIVE_INFINITY) origin = nanoseconds
        val time = (nanoseconds - origin) * 1e-9
        if (abs(time - last) > maxGap) {
            open(time, x, y, z)
        } else if (time <= last) {
            dropped++
            return
        }
        last = time
        grid.push(time, x, y, z)
    }

    /** Ends the recording and hands on its remaining samples; the next push starts another. */
    fun finish() {
        if (opened) polyphase.finish()
        opened = false
        last = Double.NEGATIVE_INFINITY
        received = 0
        dropped = 0
    }

    private fun open(time: Double, x: Float, y: Float, z: Float) {
        if (opened) polyphase.finish()
        opened = true
        sink.begin(time)
        grid.begin(time, x, y, z)
        polyphase.begin(x.toDouble(), y.toDouble(), z.toDouble())
    }
}

/** Linear interpolation between samples, at whole periods from the first one. */
private class Grid(private val rate: Double, private val next: Polyphase) {
    private var origin = 0.0
    private var emitted = 0L

    // The last sample, its time in periods.
    private var position = 0.0
    private var x = 0.0
    private var y = 0.0
    private var z = 0.0

    fun begin(time: Double, x: Float, y: Float, z: Float) {
        origin = time
        emitted = 0
        // A sample before the first one lets that one be a right neighbour.
        keep(-1.0, x.toDouble(), y.toDouble(), z.toDouble())
    }

    fun push(time: Double, x: Float, y: Float, z: Float) {
        var right = (time - origin) * rate
        val nearest = round(right)
        if (abs(right - nearest) < ON_GRID) right = nearest
        while (emitted <= right) {
            // Backwards from the right neighbour: exact where a sample lies on the grid.
            val back = (right - emitted) / (right - position)
            next.push(x - back * (x - this.x), y - back * (y - this.y), z - back * (z - this.z))
            emitted++
        }
        keep(right, x.toDouble(), y.toDouble(), z.toDouble())
    }

    private fun keep(position: Double, x: Double, y: Double, z: Double) {
        this.position = position
        this.x = x
        this.y = y
        this.z = z
    }

    private companion object {
        /** A sample this near to a grid point, in periods, counts as lying on it. */
        const val ON_GRID = 0.1
    }
}

/**
 * `scipy.signal.resample_poly` with `padtype="edge"`, sample by sample.
 *
 * Output m lies at input m × down / up, in the middle of 2 × half + 1 taps at up times the rate.
 */
private class Polyphase(val ratio: Ratio, private val sink: UniformSink) {
    private val up = ratio.up.toLong()
    private val down = ratio.down.toLong()
    private val half = if (up == down) 0 else HALF_WIDTH * max(ratio.up, ratio.down)
    private val taps = lowPass(ratio, half)

    // The inputs that a next output may reach back to, (x, y, z) each: input k at k modulo its length.
    private val capacity = (2L * half / up + 2).toInt()
    private val ring = DoubleArray(3 * capacity)
    private var received = 0L
    private var emitted = 0L

    fun begin(x: Double, y: Double, z: Double) {
        received = 0
        emitted = 0
        for (slot in 0 until capacity) store(slot, x, y, z)
    }

    fun push(x: Double, y: Double, z: Double) {
        store((received % capacity).toInt(), x, y, z)
        received++
        while (emitted * down + half < received * up) emit()
    }

    /** The remaining outputs, the last input standing for all that would follow. */
    fun finish() {
        val end = received * up
        val last = 3 * ((received - 1) % capacity).toInt()
        val x = ring[last]
        val y = ring[last + 1]
        val z = ring[last + 2]
        while (emitted * down < end) {
            if (emitted * down + half < received * up) {
                emit()
            } else {
                store((received % capacity).toInt(), x, y, z)
                received++
            }
        }
    }

    private fun store(slot: Int, x: Double, y: Double, z: Double) {
        ring[3 * slot] = x
        ring[3 * slot + 1] = y
        ring[3 * slot + 2] = z
    }

    private fun emit() {
        val reach = emitted * down + half
        var tap = (reach % up).toInt()
        var slot = (reach / up % capacity).toInt()
        var x = 0.0
        var y = 0.0
        var z = 0.0
        while (tap < taps.size) {
            x += taps[tap] * ring[3 * slot]
            y += taps[tap] * ring[3 * slot + 1]
            z += taps[tap] * ring[3 * slot + 2]
            tap += ratio.up
            slot = if (slot == 0) capacity - 1 else slot - 1
        }
        emitted++
        sink.sample(x.toFloat(), y.toFloat(), z.toFloat())
    }

    private companion object {
        /** Reach of the low-pass to either side, in periods of the slower rate. */
        const val HALF_WIDTH = 10

        const val BETA = 5.0

        /** Windowed sinc, every phase scaled to sum to one so that gravity stays what it is. */
        fun lowPass(ratio: Ratio, half: Int): DoubleArray {
            if (half == 0) return doubleArrayOf(1.0)
            val cutoff = 1.0 / max(ratio.up, ratio.down)
            val taps = DoubleArray(2 * half + 1) { sinc(cutoff * (it - half)) * kaiser((it - half).toDouble() / half) }
            for (phase in 0 until ratio.up) {
                val indices = phase..2 * half step ratio.up
                val sum = indices.sumOf { taps[it] }
                for (index in indices) taps[index] /= sum
            }
            return taps
        }

        fun sinc(x: Double) = if (x == 0.0) 1.0 else sin(PI * x) / (PI * x)

        /** Kaiser's window at -1 to 1, up to a factor: the modified Bessel function I0 as its series. */
        fun kaiser(x: Double): Double {
            val quarter = BETA * BETA * (1 - x * x) / 4
            var term = 1.0
            var sum = 1.0
            var k = 1
            while (term > sum * 1e-17) {
                term *= quarter / (k * k)
                sum += term
                k++
            }
            return sum
        }
    }
}

/** Of two rates, as the nearest fraction of integers up to 1000. */
internal data class Ratio(val up: Int, val down: Int) {
    companion object {
        private const val LARGEST = 1000

        fun of(rateIn: Double, rateOut: Double): Ratio {
            for (rate in doubleArrayOf(rateIn, rateOut)) {
                ensure(rate > 0 && rate < Double.POSITIVE_INFINITY) {
                    "a sampling rate must be a positive number of hertz, not $rate"
                }
            }
            val ratio = rateOut / rateIn
            ensure(ratio in 1.0 / LARGEST..LARGEST.toDouble()) {
                "cannot resample from $rateIn to $rateOut Hz: the rates differ more than $LARGEST-fold"
            }
            return if (ratio <= 1) nearest(ratio) else nearest(1 / ratio).let { Ratio(it.down, it.up) }
        }

        /** The nearest fraction, with the smallest denominator if there are several. */
        private fun nearest(ratio: Double): Ratio {
            var best = Ratio(1, 1)
            for (down in 1..LARGEST) {
                val candidate = Ratio(max(1, round(ratio * down).toInt()), down)
                if (abs(ratio - candidate.value) < abs(ratio - best.value)) best = candidate
            }
            return best
        }
    }

    private val value get() = up.toDouble() / down
}
