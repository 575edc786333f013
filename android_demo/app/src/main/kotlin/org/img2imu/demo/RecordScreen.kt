package org.img2imu.demo

import android.app.Activity
import android.app.AlertDialog
import android.content.ClipData
import android.content.Intent
import android.view.View
import android.widget.CheckBox
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import android.widget.ToggleButton
import java.io.File
import kotlin.math.roundToInt

/** Records sensors with labels, for `img2imu convert`. */
class RecordScreen(private val activity: Activity, view: View, private val demo: Demo) : Screen(view) {
    private val recorder = demo.recorder
    private val ticks = view.find<LinearLayout>(R.id.sensors)
    private val pads = view.find<LinearLayout>(R.id.pads)
    private var shown: RecorderState? = null

    override fun start() {
        ticks.removeAllViews()
        for (kind in recorder.available) {
            val tick = CheckBox(view.context)
            tick.text = kind.title.replaceFirstChar { it.uppercase() }
            tick.isChecked = kind.text !in recorder.unticked.split(',')
            ticks.addView(tick)
        }
        field(R.id.names).setText(recorder.names)
        field(R.id.person).setText(recorder.person)
        button(R.id.record).setOnClickListener { if (recorder.running) recorder.stop() else record() }
        recorder.state.watch(::show)
        recorder.look()
    }

    override fun unwatch() {
        keep()
        recorder.state.watch(null)
    }

    private fun record() {
        keep()
        recorder.start(chosen())
    }

    private fun chosen() = recorder.available.filterIndexed { index, _ -> (ticks.getChildAt(index) as CheckBox).isChecked }

    private fun keep() {
        recorder.names = field(R.id.names).text.toString()
        recorder.person = field(R.id.person).text.toString()
        recorder.unticked = (recorder.available - chosen().toSet()).joinToString(",") { it.text }
    }

    private fun show(state: RecorderState) {
        val running = state.name != null
        view.keepScreenOn = running
        button(R.id.record).setText(if (running) R.string.stop else R.string.record)
        view.find<View>(R.id.before).visibility = if (running) View.GONE else View.VISIBLE
        view.find<View>(R.id.during).visibility = if (running) View.VISIBLE else View.GONE
        view.find<View>(R.id.kept).visibility = if (running) View.GONE else View.VISIBLE
        text(R.id.said).text = state.said
        if (recorder.available.isEmpty()) text(R.id.said).setText(R.string.no_sensor)
        button(R.id.record).isEnabled = recorder.available.isNotEmpty()
        if (running) showRunning(state) else showKept(state)
        shown = state
    }

    private fun showRunning(state: RecorderState) {
        text(R.id.elapsed).text = clock(state.seconds)
        text(R.id.tracks).text = state.tracks.joinToString("\n") { track ->
            val told = if (track.silent) "sends nothing" else "${track.rate.roundToInt()} Hz"
            "${track.kind.title}: ${track.count} samples, $told"
        }
        text(R.id.stretch).text = when {
            state.labels.isEmpty() -> ""
            state.label.isEmpty() -> view.context.getString(R.string.press)
            else -> "${state.label} for ${clock(state.labelSeconds)}"
        }
        text(R.id.away).text = if (state.away == 0.0) "" else
            "Nothing came for ${state.away.roundToInt()} s: the system stops the sensors of an app that is not seen"
        if (pads.childCount == 0 || shown?.labels != state.labels) addPads(state.labels)
        for (index in 0 until pads.childCount) {
            val row = pads.getChildAt(index) as LinearLayout
            for (place in 0 until row.childCount) {
                (row.getChildAt(place) as? ToggleButton)?.let { it.isChecked = it.textOn == state.label }
            }
        }
    }

    /** A button for each label, two in a row. */
    private fun addPads(labels: List<String>) {
        pads.removeAllViews()
        val half = LinearLayout.LayoutParams(0, LinearLayout.LayoutParams.WRAP_CONTENT, 1f)
        for (pair in labels.chunked(2)) {
            val row = LinearLayout(view.context)
            for (label in pair) {
                val pad = ToggleButton(view.context)
                pad.textOn = label
                pad.textOff = label
                pad.isAllCaps = false
                pad.isChecked = false
                pad.backgroundTintList = view.context.getColorStateList(R.color.pad)
                pad.setTextColor(view.context.getColorStateList(R.color.pad_text))
                pad.setOnClickListener { recorder.press(label) }
                row.addView(pad, half)
            }
            if (pair.size == 1) row.addView(View(view.context), half)
            pads.addView(row)
        }
    }

    private fun showKept(state: RecorderState) {
        if (shown?.kept == state.kept && shown?.name == null) return
        val rows = view.find<LinearLayout>(R.id.kept)
        rows.removeAllViews()
        for (name in state.kept) {
            val row = View.inflate(view.context, R.layout.kept, null)
            row.find<TextView>(R.id.name).text = name
            row.find<View>(R.id.share).setOnClickListener { recorder.pack(name) { file -> view.post { share(file) } } }
            row.find<View>(R.id.delete).setOnClickListener { askToDelete(name) }
            rows.addView(row)
        }
    }

    private fun share(archive: File) {
        val uri = SharedFiles.uri(activity, archive)
        val send = Intent(Intent.ACTION_SEND).setType("application/zip").putExtra(Intent.EXTRA_STREAM, uri)
        // The sheet hands on the right to read what the clip names.
        send.clipData = ClipData.newRawUri(archive.name, uri)
        send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        activity.startActivity(Intent.createChooser(send, null))
    }

    private fun askToDelete(name: String) {
        AlertDialog.Builder(activity)
            .setMessage("Delete the recording $name?")
            .setPositiveButton(R.string.delete) { _, _ -> recorder.delete(name) }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    private fun field(id: Int): EditText = view.find(id)

    private companion object {
        fun clock(seconds: Double): String = seconds.toInt().let { String.format("%d:%02d", it / 60, it % 60) }
    }
}
