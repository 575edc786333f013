package org.img2imu.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import kotlin.math.round

/** The labels of the last minute as a strip, now to the right, and which colour is which. */
class PastView(context: Context, attributes: AttributeSet) : View(context, attributes) {
    private val density = resources.displayMetrics.density
    private val words = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.muted)
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 12f, resources.displayMetrics)
    }
    private val empty = Paint().apply { color = context.getColor(R.color.track) }
    private val fill = Paint(Paint.ANTI_ALIAS_FLAG)
    private var past = emptyList<Past>()

    fun show(past: List<Past>) {
        this.past = past
        contentDescription = past.map { it.label }.distinct().joinToString()
        invalidate()
    }

    override fun onMeasure(widthSpec: Int, heightSpec: Int) =
        setMeasuredDimension(MeasureSpec.getSize(widthSpec), (thick + LINES * lineHeight + 4 * density).toInt())

    override fun onDraw(canvas: Canvas) {
        canvas.drawRect(0f, 0f, width.toFloat(), thick, empty)
        val now = past.lastOrNull()?.end ?: return
        for ((index, one) in past.withIndex()) {
            // Where windows overlap, a label ends in the middle of what they share.
            val begin = past.getOrNull(index - 1)?.let { middle(it, one) } ?: one.start
            val end = past.getOrNull(index + 1)?.let { middle(one, it) } ?: one.end
            fill.color = color(one.number)
            canvas.drawRect(place(begin, now), 0f, place(end, now), thick, fill)
        }
        drawNames(canvas)
    }

    private fun middle(one: Past, next: Past): Double? = if (next.start < one.end) (next.start + one.end) / 2 else null

    /** In whole pixels, so that neighbours of one colour have no seam. */
    private fun place(time: Double, now: Double): Float =
        round(width * (1 - (now - time) / Stream.MEMORY_SECONDS)).toFloat().coerceIn(0f, width.toFloat())

    /** The labels of the strip, the newest first, as far as there is room. */
    private fun drawNames(canvas: Canvas) {
        var left = 0f
        var line = 0
        for (one in past.asReversed().distinctBy { it.label }) {
            val wide = words.textSize + words.measureText(one.label) + 14 * density
            if (left > 0 && left + wide > width) {
                left = 0f
                line++
            }
            if (line == LINES) return
            val base = thick + 4 * density + line * lineHeight + words.textSize
            fill.color = color(one.number)
            canvas.drawRect(left, base - 0.8f * words.textSize, left + 0.8f * words.textSize, base, fill)
            canvas.drawText(one.label, left + words.textSize + 2 * density, base, words)
            left += wide
        }
    }

    private val thick get() = 14 * density
    private val lineHeight get() = 1.4f * words.textSize

    companion object {
        private const val LINES = 2

        /** Those of Python's timelines; they repeat after twelve. */
        private val COLORS = listOf(
            "#0b6e75", "#e0852b", "#7a5cc2", "#c9485b", "#5a9bd4", "#8a9a2b",
            "#b9709f", "#6b7f8f", "#d4b13f", "#3c8f5a", "#9c5d3b", "#3f4fa0",
        ).map(Color::parseColor)
        private val UNKNOWN = Color.parseColor("#9aa3ae")

        /** Of the label with this number in the model; -1 is the unknown. */
        fun color(number: Int): Int = if (number < 0) UNKNOWN else COLORS[number % COLORS.size]
    }
}
