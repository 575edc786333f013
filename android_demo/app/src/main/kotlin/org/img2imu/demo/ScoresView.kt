package org.img2imu.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View

/** Probabilities of the likeliest labels as bars. */
class ScoresView(context: Context, attributes: AttributeSet) : View(context, attributes) {
    private val density = resources.displayMetrics.density
    private val words = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.muted)
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 13f, resources.displayMetrics)
    }
    private val track = Paint().apply { color = context.getColor(R.color.track) }
    private val bar = Paint()
    private var scores = emptyList<Score>()

    fun show(scores: List<Score>) {
        this.scores = scores.take(ROWS)
        contentDescription = this.scores.joinToString { "${it.label} ${(100 * it.probability).toInt()} %" }
        invalidate()
    }

    override fun onMeasure(widthSpec: Int, heightSpec: Int) =
        setMeasuredDimension(MeasureSpec.getSize(widthSpec), (ROWS * rowHeight).toInt())

    override fun onDraw(canvas: Canvas) {
        for ((row, score) in scores.withIndex()) {
            val top = row * rowHeight
            canvas.drawText(score.label, 0f, top + words.textSize, words)
            val y = top + words.textSize + 6 * density
            val thick = 4 * density
            canvas.drawRoundRect(0f, y, width.toFloat(), y + thick, thick / 2, thick / 2, track)
            bar.color = PastView.color(score.number)
            val length = maxOf(thick, width * score.probability)
            canvas.drawRoundRect(0f, y, length, y + thick, thick / 2, thick / 2, bar)
        }
    }

    private val rowHeight get() = words.textSize + 20 * density

    private companion object {
        const val ROWS = 4
    }
}
