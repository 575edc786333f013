package org.img2imu.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View

/** The pictures of a window: the first one large, the others in a row beneath it. */
class PicturesView(context: Context, attributes: AttributeSet) : View(context, attributes) {
    private val paint = Paint(Paint.FILTER_BITMAP_FLAG)
    private val empty = Paint().apply { color = context.getColor(R.color.picture) }
    private val gap = 4 * resources.displayMetrics.density
    private val frame = RectF()
    private var bitmaps = emptyList<Bitmap>()

    fun show(moment: Moment?) {
        val pictures = moment?.pictures.orEmpty()
        if (bitmaps.size != pictures.size || bitmaps.any { it.width != moment?.width || it.height != moment.height }) {
            bitmaps = pictures.map { Bitmap.createBitmap(moment!!.width, moment.height, Bitmap.Config.ARGB_8888) }
            requestLayout()
        }
        for ((bitmap, colours) in bitmaps.zip(pictures)) {
            bitmap.setPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        }
        invalidate()
    }

    /** As wide as there is room for, in both directions. */
    override fun onMeasure(widthSpec: Int, heightSpec: Int) {
        var width = MeasureSpec.getSize(widthSpec)
        if (MeasureSpec.getMode(heightSpec) != MeasureSpec.UNSPECIFIED) {
            while (width > 1 && heightOf(width) > MeasureSpec.getSize(heightSpec)) width--
        }
        setMeasuredDimension(width, heightOf(width).toInt())
    }

    override fun onDraw(canvas: Canvas) {
        frame.set(0f, 0f, width.toFloat(), width * ASPECT)
        draw(canvas, bitmaps.firstOrNull())
        val small = smallWidth(width)
        for (index in 1..others) {
            val left = (index - 1) * (small + gap)
            frame.set(left, width * ASPECT + gap, left + small, width * ASPECT + gap + small * ASPECT)
            draw(canvas, bitmaps[index])
        }
    }

    private fun draw(canvas: Canvas, bitmap: Bitmap?) {
        if (bitmap == null) canvas.drawRect(frame, empty) else canvas.drawBitmap(bitmap, null, frame, paint)
    }

    private val others get() = maxOf(0, bitmaps.size - 1)

    private fun smallWidth(width: Int) = (width - gap * (others - 1)) / maxOf(1, others)

    private fun heightOf(width: Int) = width * ASPECT + if (others > 0) gap + smallWidth(width) * ASPECT else 0f

    private companion object {
        /** Height of a picture in widths, whatever its number of pixels. */
        const val ASPECT = 0.75f
    }
}
