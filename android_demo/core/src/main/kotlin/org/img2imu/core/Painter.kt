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
     * @param window 3 × samples in g, finite: all of x, then y, then z
     * @param picture receives 3 × height × width levels in [0, 1]: red, green, blue, rows from the top
     * @param offset where in [picture] they begin
     */
    fun draw(window: FloatArray, picture: FloatArray, offset: Int = 0)
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
 */
class Pictures(views: List<View>, val samples: Int) {
    private val painters = views.map { painter(it, samples) }.toTypedArray()

    val count = views.size
    val width = views.first().width
    val height = views.first().height

    /** Levels in [0, 1], count × 3 × height × width; the next [draw] overwrites them. */
    val levels = FloatArray(count * 3 * height * width)

    /** Draws every view of a window of 3 × samples in g. */
    fun draw(window: FloatArray): FloatArray {
        for (index in 0 until count) painters[index].draw(window, levels, index * 3 * height * width)
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
