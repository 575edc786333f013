package org.img2imu.core

import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.log10
import kotlin.math.pow
import kotlin.math.round

/**
 * Sampling rate in Hz that times of samples tell: the mean over the steps that are no gaps, as the
 * whole number within 2 %, else to four digits. As Python reads tables.
 *
 * @param nanoseconds on any clock
 * @throws InputError if fewer than eight steps go forward
 */
fun nominalRate(nanoseconds: LongArray): Double {
    val steps = LongArray(maxOf(0, nanoseconds.size - 1)) { nanoseconds[it + 1] - nanoseconds[it] }
    val forward = steps.filter { it > 0 }.sorted()
    ensure(forward.size >= NEEDED) { "the sampling rate cannot be told: time rises ${forward.size} times, not $NEEDED" }
    val median = (forward[(forward.size - 1) / 2] + forward[forward.size / 2]) / 2.0
    // Coarse clocks repeat, gaps do not count.
    val measured = 1e9 / steps.filter { it >= 0 && it <= USUAL * median }.average()
    val whole = round(measured)
    return if (abs(measured - whole) <= TOLERANCE * measured) whole else rounded(measured)
}

private const val NEEDED = 8
private const val USUAL = 5
private const val TOLERANCE = 0.02

private fun rounded(value: Double): Double {
    val unit = 10.0.pow(3 - floor(log10(value)))
    return round(value * unit) / unit
}
