package org.img2imu.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.round
import kotlin.math.sin

/** Receives uniform samples, segment after segment. */
interface UniformSink {
    /** A new segment begins [start] seconds after the first one. */
    fun begin(start: Double)

    /** The segment's next sample: x, y and z of each sensor in turn; the array is used again. */
    fun sample(values: FloatArray)
}

/** Longest step in seconds that is bridged at [rate] Hz: half a second, or five periods. */
fun defaultMaxGap(rate: Double): Double = max(0.5, 5 / rate)

/**
 * How a sensor is sampled.
 *
 * @property rate nominal, in Hz
 * @property maxGap longest step in seconds that is bridged
 */
class Sampling(val rate: Double, val maxGap: Double = defaultMaxGap(rate))

/**
 * Turns the samples of a recording, as they come, into uniform segments at another rate: those of
 * one sensor, or of several with a clock of their own each.
 *
 * 1. Samples that are not finite are dropped, and so are those whose time does not rise.
 * 2. Where a sensor's time jumps by more than its longest gap, ahead or back, a new segment starts,
 *    for all: it holds what every sensor covers.
 * 3. In each segment every sensor is interpolated linearly onto a grid of its own rate. Samples
 *    within a tenth of a period of a grid point are taken as they are.
 * 4. The grid goes through a polyphase low-pass to [rateOut], its ends extended by their values.
 *
 * Samples of several sensors may be interleaved in any way, as long as none comes ten seconds later
 * than another's. Same answers as `img2imu.recordings.clocks.JointResampler`; `docs/streaming.md` has
 * every step. All memory is taken on construction.
 *
 * @param samplings of each sensor
 * @param rateOut rate wanted in Hz
 * @param sink receives the uniform samples
 * @throws InputError if a rate or gap is not positive, or the rates differ more than thousandfold
 */
class Resampler(samplings: List<Sampling>, rateOut: Double, private val sink: UniformSink) {
    private val tracks = Array(samplings.size) { Track(samplings[it], rateOut) }
    private val values = FloatArray(3 * tracks.size)

    /** Up to where samples have been worked on. */
    private val done = Moment()
    private val until = Moment()
    private var origin = NONE
    private var first = Double.NaN
    private var opened = false

    /** Samples received since the last [finish], and how many of them were of no use by themselves. */
    var received = 0L
        private set
    var dropped = 0L
        private set

    /** Takes the next sample of a sensor: nanoseconds on a clock of all sensors, and its three values. */
    fun push(sensor: Int, nanoseconds: Long, x: Float, y: Float, z: Float) {
        received++
        if (!(x - x + (y - y) + (z - z) == 0f)) {
            dropped++
            return
        }
        if (origin == NONE) origin = nanoseconds
        val track = tracks[sensor]
        if (!track.hold((nanoseconds - origin) * 1e-9, x, y, z, done)) {
            dropped++
            return
        }
        until.set(tracks[0].last)
        for (other in tracks) if (other.last < until) until.set(other.last)
        if (done < until) work()
        if (track.overdue) force(track)
    }

    /** Ends the recording and hands on its remaining samples; the next push starts another. */
    fun finish() {
        until.set(Int.MAX_VALUE, Double.POSITIVE_INFINITY)
        work()
        close()
        for (track in tracks) track.restart()
        done.set(-1, Double.NEGATIVE_INFINITY)
        origin = NONE
        first = Double.NaN
        received = 0
        dropped = 0
    }

    /** Works on the samples up to [until], in the order of time. */
    private fun work() {
        done.set(until)
        while (true) {
            var next: Track? = null
            for (track in tracks) {
                if (track.waits && track.head <= until && (next == null || track.head < next.head)) next = track
            }
            step(next ?: return)
        }
    }

    /** Works on the samples of one moment. */
    private fun step(next: Track) {
        now.set(next.head)
        var opening = false
        for (track in tracks) opening = opening || track.opensAt(now)
        if (opening) {
            close()
            open()
        }
        for (track in tracks) if (track.waits && track.head.compareTo(now) == 0) track.feed(opened)
        if (opened) emit()
    }

    private val now = Moment()

    /** Begins a segment [now], if all sensors are there. */
    private fun open() {
        for (track in tracks) if (!track.isThere(now)) return
        if (first.isNaN()) first = now.time
        opened = true
        sink.begin(now.time - first)
        for (track in tracks) track.begin(now)
    }

    private fun close() {
        if (!opened) return
        for (track in tracks) track.end()
        emit()
        opened = false
    }

    /** Hands on what all sensors have. */
    private fun emit() {
        while (true) {
            for (track in tracks) if (track.uniform.isEmpty) return
            for (index in tracks.indices) tracks[index].uniform.take(values, 3 * index)
            sink.sample(values)
        }
    }

    /** Works on a sample that has waited too long; a sensor that has been silent meanwhile has a gap. */
    private fun force(track: Track) {
        until.set(track.head)
        work()
        for (other in tracks) {
            if (other.isSilent(until)) {
                close()
                other.lose(until)
            }
        }
    }

    private companion object {
        const val NONE = Long.MIN_VALUE
    }
}

/** Orders the samples of all sensors: how often the clock was set back, then seconds. */
private class Moment(var setbacks: Int = -1, var time: Double = Double.NEGATIVE_INFINITY) {
    fun set(setbacks: Int, time: Double) {
        this.setbacks = setbacks
        this.time = time
    }

    fun set(other: Moment) = set(other.setbacks, other.time)

    operator fun compareTo(other: Moment): Int =
        if (setbacks != other.setbacks) setbacks.compareTo(other.setbacks) else time.compareTo(other.time)
}

/** Samples of one sensor that wait for the others, and its part of the present segment. */
private class Track(private val sampling: Sampling, rateOut: Double) {
    val uniform = Uniform()
    private val polyphase = Polyphase(Ratio.of(sampling.rate, rateOut), uniform)
    private val grid = Grid(rateOut * polyphase.ratio.down / polyphase.ratio.up, polyphase)

    init {
        ensure(sampling.maxGap > 0 && sampling.maxGap < Double.POSITIVE_INFINITY) {
            "the longest gap must be a positive number of seconds, not ${sampling.maxGap}"
        }
    }

    // A ring: the oldest of `count` samples lies at `oldest`.
    private val capacity = max(LEAST_HELD, ceil(LAG * sampling.rate).toInt())
    private val setbacks = IntArray(capacity + 1)
    private val times = DoubleArray(capacity + 1)
    private val values = FloatArray(3 * (capacity + 1))
    private val opens = BooleanArray(capacity + 1)
    private var oldest = 0
    private var count = 0

    /** Of the last sample accepted. */
    val last = Moment()

    /** Of the oldest sample that waits. */
    val head = Moment()

    /** Whether the next sample counts as after a gap, whenever it comes. */
    private var lost = false

    // The last sample worked on.
    private val left = Moment()
    private val leftValues = FloatArray(3)

    val waits get() = count > 0
    val overdue get() = count > capacity

    /** Accepts a sample, or not. One of a moment that is [done] is not kept. */
    fun hold(time: Double, x: Float, y: Float, z: Float, done: Moment): Boolean {
        val opening = abs(time - last.time) > sampling.maxGap
        if (!opening && time <= last.time) return false
        val back = opening && time < last.time
        last.set(max(last.setbacks, 0) + (if (back) 1 else 0), time)
        lost = lost || last <= done
        if (last <= done) return true
        val slot = (oldest + count) % times.size
        setbacks[slot] = last.setbacks
        times[slot] = time
        values[3 * slot] = x
        values[3 * slot + 1] = y
        values[3 * slot + 2] = z
        opens[slot] = opening || lost
        lost = false
        if (count++ == 0) head.set(last)
        return true
    }

    fun opensAt(moment: Moment) = waits && opens[oldest] && head.compareTo(moment) == 0

    /** Whether there is a sample before [moment], by the same clock, or after a gap at it. */
    fun isThere(moment: Moment) = opensAt(moment) || left.setbacks == moment.setbacks

    /** Begins a segment at [moment]. */
    fun begin(moment: Moment) {
        uniform.clear()
        polyphase.begin()
        if (opensAt(moment)) {
            grid.begin(moment.time, values[3 * oldest], values[3 * oldest + 1], values[3 * oldest + 2])
        } else {
            val (x, y, z) = leftValues
            grid.begin(moment.time, x, y, z)
            grid.push(left.time, x, y, z)
        }
    }

    /** Works on the oldest sample that waits. */
    fun feed(drawn: Boolean) {
        values.copyInto(leftValues, 0, 3 * oldest, 3 * oldest + 3)
        left.set(head)
        if (drawn) grid.push(left.time, leftValues[0], leftValues[1], leftValues[2])
        oldest = (oldest + 1) % times.size
        count--
        if (waits) head.set(setbacks[oldest], times[oldest])
    }

    fun end() = polyphase.finish()

    /** Whether the last sample is a gap or a setback of the clock away from [moment]. */
    fun isSilent(moment: Moment) =
        last.setbacks < moment.setbacks || moment.time - last.time > sampling.maxGap

    /** Counts what comes next as after a gap, by the clock of the other sensors. */
    fun lose(moment: Moment) {
        left.set(-1, Double.NEGATIVE_INFINITY)
        lost = true
        if (last.setbacks < moment.setbacks) last.set(moment.setbacks, Double.NEGATIVE_INFINITY)
    }

    fun restart() {
        count = 0
        lost = false
        for (moment in arrayOf(last, left)) moment.set(-1, Double.NEGATIVE_INFINITY)
    }

    private companion object {
        /** Seconds of samples that wait for other sensors, at most, and of however slow a sensor. */
        const val LAG = 10.0
        const val LEAST_HELD = 32
    }
}

/** Uniform samples of a sensor that wait for those of others. */
private class Uniform {
    private var values = FloatArray(3 * 64)
    private var from = 0
    private var to = 0

    val isEmpty get() = from == to

    fun clear() {
        from = 0
        to = 0
    }

    fun put(x: Float, y: Float, z: Float) {
        if (to == values.size) makeRoom()
        values[to] = x
        values[to + 1] = y
        values[to + 2] = z
        to += 3
    }

    fun take(target: FloatArray, offset: Int) {
        values.copyInto(target, offset, from, from + 3)
        from += 3
        if (isEmpty) clear()
    }

    private fun makeRoom() {
        val target = if (from < values.size / 2) FloatArray(2 * values.size) else values
        values.copyInto(target, 0, from, to)
        values = target
        to -= from
        from = 0
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
private class Polyphase(val ratio: Ratio, private val output: Uniform) {
    private val up = ratio.up.toLong()
    private val down = ratio.down.toLong()
    private val half = if (up == down) 0 else HALF_WIDTH * max(ratio.up, ratio.down)
    private val taps = lowPass(ratio, half)

    // The inputs that a next output may reach back to, (x, y, z) each: input k at k modulo its length.
    private val capacity = (2L * half / up + 2).toInt()
    private val ring = DoubleArray(3 * capacity)
    private var received = 0L
    private var emitted = 0L

    fun begin() {
        received = 0
        emitted = 0
    }

    fun push(x: Double, y: Double, z: Double) {
        // The first input stands for all that would have come before.
        if (received == 0L) for (slot in 0 until capacity) store(slot, x, y, z)
        store((received % capacity).toInt(), x, y, z)
        received++
        while (emitted * down + half < received * up) emit()
    }

    /** The remaining outputs, the last input standing for all that would follow. */
    fun finish() {
        if (received == 0L) return
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
        output.put(x.toFloat(), y.toFloat(), z.toFloat())
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
