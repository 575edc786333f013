package org.img2imu.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.view.View
import android.view.WindowManager
import android.widget.ArrayAdapter
import android.widget.Spinner
import android.widget.TableLayout
import android.widget.TableRow
import android.widget.TextView
import org.img2imu.core.InputError
import org.img2imu.core.Protocol
import org.img2imu.core.Stage
import org.img2imu.core.Timing
import java.io.IOException

/** Latency of each stage, by the protocol. */
class BenchScreen(private val activity: Activity, view: View, private val demo: Demo) : Screen(view) {
    private val bench = demo.bench
    private val threads = listOf(1, 2, 4, Runtime.getRuntime().availableProcessors()).distinct().sorted()

    override fun start() {
        offer(R.id.form, Variant.entries.map { it.title })
        offer(R.id.threads, threads.map { "$it" })
        offer(R.id.runs, RUNS.map { "$it" })
        select(bench.choice)
        button(R.id.run).setOnClickListener { if (bench.running) bench.cancel() else bench.start(chosen()) }
        button(R.id.share).setOnClickListener { report()?.let(::share) }
        button(R.id.save).setOnClickListener { report()?.let(::askWhere) }
        bench.state.watch(::show)
    }

    override fun unwatch() = bench.state.watch(null)

    /** Writes the report to where the user wants it. */
    fun save(target: Uri) {
        val json = report()?.json ?: return
        demo.work({ text(R.id.progress).post { text(R.id.progress).text = it } }) {
            try {
                checkNotNull(activity.contentResolver.openOutputStream(target)).use { it.write(json.toByteArray()) }
            } catch (error: IOException) {
                throw InputError("The report cannot be written: ${error.message}", error)
            }
        }
    }

    private fun report() = (bench.state.value as? BenchState.Done)?.report

    private fun chosen() = BenchChoice(
        Variant.entries[spinner(R.id.form).selectedItemPosition],
        threads[spinner(R.id.threads).selectedItemPosition],
        Protocol(runs = RUNS[spinner(R.id.runs).selectedItemPosition]),
    )

    private fun show(state: BenchState) {
        val running = state is BenchState.Running
        button(R.id.run).setText(if (running) R.string.stop else R.string.measure)
        for (id in CHOICES) spinner(id).isEnabled = !running
        if (state != BenchState.Idle) select(bench.choice)
        text(R.id.progress).text = when (state) {
            BenchState.Idle -> view.context.getString(R.string.bench_hint)
            is BenchState.Running -> "Measuring: ${STAGES[state.stage] ?: "opening the model"}"
            is BenchState.Failed -> state.problem
            is BenchState.Done -> ""
        }
        view.find<View>(R.id.result).visibility = if (state is BenchState.Done) View.VISIBLE else View.GONE
        if (state is BenchState.Done) show(state.report)
        val screenOn = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (running) activity.window.addFlags(screenOn) else activity.window.clearFlags(screenOn)
    }

    private fun show(report: BenchReport) {
        text(R.id.result_title).text = title(report)
        text(R.id.result_detail).text = detail(report)
        val table = view.find<TableLayout>(R.id.table)
        table.removeAllViews()
        row(table, listOf("ms", "p50", "p90", "p95"), R.style.Text_Muted)
        for ((stage, name) in STAGES) {
            val timing = report.measurements.stages[stage]
            row(table, listOf(name) + (timing?.let(::cells) ?: listOf("in the model", "", "")), R.style.Text)
        }
        row(table, listOf("cold start", milliseconds(report.measurements.coldStart), "", ""), R.style.Text)
    }

    private fun row(table: TableLayout, cells: List<String>, style: Int) {
        val row = View.inflate(view.context, R.layout.table_row, null) as TableRow
        for ((index, cell) in cells.withIndex()) {
            val text = row.getChildAt(index) as TextView
            text.text = cell
            text.setTextAppearance(style)
        }
        table.addView(row)
    }

    private fun share(report: BenchReport) {
        val lines = STAGES.mapNotNull { (stage, name) ->
            report.measurements.stages[stage]?.let { "$name p50 p90 p95: ${cells(it).joinToString(" ")} ms" }
        }
        val text = (listOf(title(report)) + lines + detail(report)).joinToString("\n")
        val send = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, text)
        activity.startActivity(Intent.createChooser(send, null))
    }

    private fun askWhere(report: BenchReport) {
        val create = Intent(Intent.ACTION_CREATE_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("application/json")
            .putExtra(Intent.EXTRA_TITLE, "img2imu-${report.choice.variant.key}.json")
        activity.startActivityForResult(create, 0)
    }

    private fun title(report: BenchReport): String {
        val threads = if (report.choice.threads == 1) "1 thread" else "${report.choice.threads} threads"
        return "${report.choice.variant.title}, $threads"
    }

    private fun detail(report: BenchReport): String {
        val device = Device(view.context)
        val (before, after) = (report.device["thermal"] as Map<*, *>).values.toList()
        val battery = report.device["battery"] as Map<*, *>
        val runs = report.measurements.stages.values.minOf { it.nanoseconds.size }
        return listOfNotNull(
            listOf(device.name, device.soc, device.system).filter { it.isNotEmpty() }.joinToString(" · "),
            before?.let { "thermal status $it before, $after after" },
            battery["level"]?.let { "battery $it %" + if (battery["charging"] == true) ", charging" else "" },
            "at least $runs runs of each stage after ${report.measurements.protocol.warmUp} to warm up",
        ).joinToString("\n")
    }

    private fun select(choice: BenchChoice) {
        spinner(R.id.form).setSelection(choice.variant.ordinal)
        spinner(R.id.threads).setSelection(maxOf(0, threads.indexOf(choice.threads)))
        spinner(R.id.runs).setSelection(maxOf(0, RUNS.indexOf(choice.protocol.runs)))
    }

    private fun offer(id: Int, names: List<String>) {
        val adapter = ArrayAdapter(view.context, android.R.layout.simple_spinner_item, names)
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        spinner(id).adapter = adapter
    }

    private fun spinner(id: Int): Spinner = view.find(id)

    private companion object {
        val RUNS = listOf(200, 500, 1000)
        val CHOICES = listOf(R.id.form, R.id.threads, R.id.runs)
        val STAGES = mapOf(
            Stage.CONVERT to "convert",
            Stage.INFERENCE to "inference",
            Stage.END_TO_END to "end to end",
        )

        fun cells(timing: Timing) = listOf(50.0, 90.0, 95.0).map { milliseconds(timing.percentile(it)) }

        fun milliseconds(value: Double): String = String.format(if (value < 10) "%.2f" else "%.1f", value)
    }
}
