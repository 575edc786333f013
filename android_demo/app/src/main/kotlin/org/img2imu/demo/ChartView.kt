package org.img2imu.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Path
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import org.img2imu.core.Measurements
import org.img2imu.core.Point
import org.img2imu.core.Timing

/** How latencies are spread; of a sustained run how they change, with the thermal status behind them. */
class ChartView(context: Context, attributes: AttributeSet) : View(context, attributes) {
    private val density = resources.displayMetrics.density
    private val words = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.muted)
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 12f, resources.displayMetrics)
    }
    private val filled = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.accent) }
    private val track = Paint().apply { color = context.getColor(R.color.track) }
    private val line = Paint(filled).apply {
        style = Paint.Style.STROKE
        strokeWidth = 2 * density
        strokeJoin = Paint.Join.ROUND
    }
    private val upper = Paint(line).apply { alpha = 110 }
    private var timing: Timing? = null
    private var curve = emptyList<Point>()

    fun show(measured: Measurements) {
        timing = measured.whole
        curve = measured.curve
        contentDescription = if (curve.isEmpty()) "Histogram of the latencies" else "Latency over time"
        invalidate()
    }

    override fun onMeasure(widthSpec: Int, heightSpec: Int) =
        setMeasuredDimension(MeasureSpec.getSize(widthSpec), (HEIGHT_DP * density).toInt())

    override fun onDraw(canvas: Canvas) {
        if (curve.size > 1) drawCurve(canvas) else timing?.let { drawHistogram(canvas, it) }
    }

    private val top get() = words.textSize + 6 * density
    private val bottom get() = height - words.textSize - 6 * density

    private fun drawHistogram(canvas: Canvas, timing: Timing) {
        val histogram = timing.histogram(BARS)
        val most = histogram.counts.max().toFloat()
        val step = width.toFloat() / BARS
        for ((index, count) in histogram.counts.withIndex()) {
            val tall = (bottom - top) * count / most
            canvas.drawRect(index * step, bottom - tall, (index + 1) * step - density, bottom, filled)
        }
        canvas.drawRect(0f, bottom, width.toFloat(), bottom + density, track)
        canvas.drawText("${timing.nanoseconds.size} runs", 0f, words.textSize, words)
        drawEnds(canvas, milliseconds(histogram.low), "p99 ${milliseconds(histogram.high)}")
    }

    private fun drawCurve(canvas: Canvas) {
        // A single slow second must not flatten all others.
        val most = curve.map { it.p90 }.sorted()[(curve.size - 1) * 98 / 100] * HEADROOM
        val seconds = curve.last().seconds
        fun x(point: Point) = (point.seconds / seconds * width).toFloat()
        fun y(level: Double) = (bottom - (bottom - top) * minOf(level / most, 1.0)).toFloat()
        for ((from, to) in curve.zipWithNext()) {
            if ((to.state.thermal ?: 0) > 0) canvas.drawRect(x(from), top, x(to), bottom, track)
        }
        canvas.drawRect(0f, bottom, width.toFloat(), bottom + density, track)
        canvas.drawPath(path(::x) { y(it.p90) }, upper)
        canvas.drawPath(path(::x) { y(it.p50) }, line)
        val hot = curve.any { (it.state.thermal ?: 0) > 0 }
        val title = "p50 and p90 of each second, up to ${milliseconds(most)}" + if (hot) "; grey: warm" else ""
        canvas.drawText(title, 0f, words.textSize, words)
        drawEnds(canvas, "0", String.format("%.0f s", seconds))
    }

    private fun path(x: (Point) -> Float, y: (Point) -> Float) = Path().apply {
        moveTo(x(curve[0]), y(curve[0]))
        for (point in curve.drop(1)) lineTo(x(point), y(point))
    }

    private fun drawEnds(canvas: Canvas, left: String, right: String) {
        val base = height - 2 * density
        canvas.drawText(left, 0f, base, words)
        canvas.drawText(right, width - words.measureText(right), base, words)
    }

    private fun milliseconds(value: Double) = "${BenchScreen.milliseconds(value)} ms"

    private companion object {
        const val HEIGHT_DP = 120
        const val BARS = 40
        const val HEADROOM = 1.15
    }
}
