package org.img2imu.core

import kotlin.math.min

/**
 * Draws windows of one length. All memory is taken on construction; not for two threads at once.
 */
interface Painter {
    val view: View

    /**
     * Draws a window.
     *
     * @param window finite; from [start] on 3 × samples: all of x, then y, then z
     * @param picture receives 3 × height × width levels in [0, 1]: red, green, blue, rows from the top
     * @param offset where in [picture] they begin
     */
    fun draw(window: FloatArray, picture: FloatArray, offset: Int = 0, start: Int = 0)
}

/** The painter of [view] for windows of [samples]. */
fun painter(view: View, samples: Int): Painter = when (view) {
    is SpectrogramView -> Spectrogram(view, samples)
    is WaveformView -> Waveform(view, samples)
}

/**
 * The pictures of one window, one for each view.
 *
 * @param views of one size, at least one
 * @param samples of a window
 * @param sensors whose axes a window has, three of each in turn
 */
class Pictures(views: List<View>, val samples: Int, sensors: List<Sensor> = listOf(ACCELEROMETER)) {
    private val painters = views.map { painter(it, samples) }.toTypedArray()
    private val starts = requireDrawn(views, sensors).map { 3 * samples * it }.toIntArray()
    private val size = 3 * samples * sensors.size

    val count = views.size
    val width = views.first().width
    val height = views.first().height

    /** Levels in [0, 1], count × 3 × height × width; the next [draw] overwrites them. */
    val levels = FloatArray(count * 3 * height * width)

    /** Draws every view of a window of 3 × sensors × samples. */
    fun draw(window: FloatArray): FloatArray {
        require(window.size == size) { "a window of ${window.size} numbers instead of $size" }
        for (index in 0 until count) painters[index].draw(window, levels, index * 3 * height * width, starts[index])
        return levels
    }

    /** Writes a view as opaque colours, height × width, for a bitmap. */
    fun argb(index: Int, colours: IntArray) {
        val size = height * width
        val red = index * 3 * size
        for (pixel in 0 until size) {
            val at = red + pixel
            colours[pixel] = OPAQUE or
                (grey(levels[at]) shl 16) or (grey(levels[at + size]) shl 8) or grey(levels[at + 2 * size])
        }
    }
}

/** Numbers of the sensors that views draw; an [InputError] where one is not among [sensors]. */
internal fun requireDrawn(views: List<View>, sensors: List<Sensor>): List<Int> = views.map { view ->
    val number = sensors.indexOfFirst { it.name == view.sensor }
    ensure(number >= 0) {
        "a view draws the sensor ${view.sensor}, and the windows are of ${sensors.joinToString { it.name }}"
    }
    number
}

/** A level in [0, 1] as the nearest of 256 grey levels. */
fun grey(level: Float): Int = (level * 255 + 0.5f).toInt()

private const val OPAQUE = 0xFF shl 24

/**
 * For each target pixel the source ones it lies between: half-pixel centres, clamped to the ends,
 * as OpenCV's INTER_LINEAR.
 */
internal class Neighbours(source: Int, target: Int) {
    val first = IntArray(target)
    val second = IntArray(target)

    /** How near the second is, in [0, 1]. */
    val weight = FloatArray(target)

    init {
        for (pixel in 0 until target) {
            val position = ((pixel + 0.5) * source / target - 0.5).coerceIn(0.0, source - 1.0)
            first[pixel] = position.toInt()
            second[pixel] = min(first[pixel] + 1, source - 1)
            weight[pixel] = (position - first[pixel]).toFloat()
        }
    }
}

/** Mean of a stretch of a window, in double precision. */
internal fun mean(window: FloatArray, start: Int, count: Int): Double {
    var sum = 0.0
    for (index in start until start + count) sum += window[index]
    return sum / count
}
