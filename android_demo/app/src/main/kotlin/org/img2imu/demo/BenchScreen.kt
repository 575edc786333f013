package org.img2imu.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.view.View
import android.view.WindowManager
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner
import android.widget.TableLayout
import android.widget.TableRow
import android.widget.TextView
import org.img2imu.core.Conditions
import org.img2imu.core.Execution
import org.img2imu.core.InputError
import org.img2imu.core.Mode
import org.img2imu.core.Profile
import org.img2imu.core.Protocol
import org.img2imu.core.Provider
import org.img2imu.core.Rule
import org.img2imu.core.Stage
import org.img2imu.core.Timing
import org.img2imu.core.thermalName
import java.io.IOException

/** Latency of each stage, by the protocol. */
class BenchScreen(private val activity: Activity, view: View, private val demo: Demo) : Screen(view) {
    private val bench = demo.bench
    private val threads = listOf(1, 2, 4, Runtime.getRuntime().availableProcessors()).distinct().sorted()
    private var files = emptyList<ModelFile>()
    private var lengths = emptyList<Length>()

    override fun start() {
        offer(R.id.threads, threads.map { "$it" })
        offer(R.id.provider, Provider.entries.map { it.title })
        offer(R.id.mode, Mode.entries.map { it.title })
        spinner(R.id.mode).onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, row: View?, position: Int, id: Long) =
                offerLengths(Mode.entries[position])

            override fun onNothingSelected(parent: AdapterView<*>?) = Unit
        }
        select(bench.choice)
        button(R.id.run).setOnClickListener { if (bench.running) bench.cancel() else bench.start(chosen()) }
        button(R.id.open).setOnClickListener { askWhich() }
        button(R.id.label_live).setOnClickListener { labelLive() }
        button(R.id.share).setOnClickListener { report()?.let(::share) }
        button(R.id.save).setOnClickListener { report()?.let(::askWhere) }
        button(R.id.show_operators).setOnClickListener { toggleOperators() }
        bench.state.watch(::show)
    }

    override fun unwatch() = bench.state.watch(null)

    /** A document that the user chose, in answer to one of the requests. */
    fun take(request: Int, document: Uri) = if (request == OPEN) bench.open(document) else save(document)

    private fun save(target: Uri) {
        val json = report()?.json ?: return
        demo.work(::say) {
            try {
                checkNotNull(activity.contentResolver.openOutputStream(target)).use { it.write(json.toByteArray()) }
            } catch (error: IOException) {
                throw InputError("The report cannot be written: ${error.message}", error)
            }
        }
    }

    /** Lets the chosen model label the other screens' streams. */
    private fun labelLive() {
        val file = chosen().file
        demo.work(::say) {
            demo.label(file)
            say("${file.title} now labels what the sensor and the recording give")
        }
    }

    private fun say(sentence: String) {
        text(R.id.progress).post { text(R.id.progress).text = sentence }
    }

    private fun report() = (bench.state.value as? BenchState.Done)?.report

    private fun chosen() = BenchChoice(
        files[spinner(R.id.form).selectedItemPosition],
        Execution(
            threads[spinner(R.id.threads).selectedItemPosition],
            Provider.entries[spinner(R.id.provider).selectedItemPosition],
        ),
        lengths[spinner(R.id.length).selectedItemPosition].protocol,
    )

    private fun show(state: BenchState) {
        val running = state is BenchState.Running
        button(R.id.run).setText(if (running) R.string.stop else R.string.measure)
        for (id in listOf(R.id.open, R.id.label_live)) button(id).isEnabled = !running
        for (id in CHOICES) spinner(id).isEnabled = !running
        // Not while it runs: looking for files once a second would disturb what is measured.
        if (!running) select(bench.choice)
        text(R.id.progress).text = when (state) {
            BenchState.Idle -> view.context.getString(R.string.bench_hint)
            is BenchState.Running -> progress(state)
            is BenchState.Failed -> state.problem
            is BenchState.Done -> ""
        }
        view.find<View>(R.id.result).visibility = if (state is BenchState.Done) View.VISIBLE else View.GONE
        if (state is BenchState.Done) show(state.report)
        val screenOn = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (running) activity.window.addFlags(screenOn) else activity.window.clearFlags(screenOn)
    }

    private fun progress(state: BenchState.Running): String {
        val seconds = if (state.seconds >= 1) String.format(", %.0f s", state.seconds) else ""
        return (DOING[state.stage] ?: "Measuring: ${STAGES[state.stage]}") + seconds
    }

    private fun show(report: BenchReport) {
        text(R.id.result_title).text = title(report)
        text(R.id.validity).text = report.verdict.line
        text(R.id.result_detail).text = detail(report)
        val table = view.find<TableLayout>(R.id.table)
        table.removeAllViews()
        row(table, listOf("ms", "p50", "p90", "p99"), R.style.Text_Muted)
        for ((stage, name) in STAGES) {
            report.measurements.stages[stage]?.let { row(table, listOf(named(name, stage, it)) + cells(it), R.style.Text) }
        }
        row(table, listOf("cold start", milliseconds(report.measurements.coldStart), "", ""), R.style.Text)
        view.find<ChartView>(R.id.chart).show(report.measurements)
        view.find<View>(R.id.operators).visibility = View.GONE
        button(R.id.show_operators).visibility = if (report.verdict.profile == null) View.GONE else View.VISIBLE
    }

    private fun toggleOperators() {
        val table = view.find<TableLayout>(R.id.operators)
        val profile = report()?.verdict?.profile ?: return
        table.visibility = if (table.visibility == View.VISIBLE) View.GONE else View.VISIBLE
        table.removeAllViews()
        row(table, listOf("operator", "nodes", "ms", "share"), R.style.Text_Muted)
        for (cells in operators(profile)) row(table, cells, R.style.Text)
    }

    private fun operators(profile: Profile) = profile.operators.map {
        val provider = Provider.entries.find { known -> known.runtimeName == it.provider }?.title ?: it.provider
        val name = if (provider == Provider.CPU.title) it.name else "${it.name}, $provider"
        listOf(name, "${it.nodes}", milliseconds(it.milliseconds), percent(it.milliseconds / profile.milliseconds))
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
            report.measurements.stages[stage]?.let { "${named(name, stage, it)} p50 p90 p99: ${cells(it).joinToString(" ")} ms" }
        }
        val text = (listOf(title(report), report.verdict.line) + lines + detail(report)).joinToString("\n")
        val send = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, text)
        activity.startActivity(Intent.createChooser(send, null))
    }

    private fun askWhich() {
        // No kind of document is registered for models: any may be chosen, and is then looked at.
        val open = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        activity.startActivityForResult(open, OPEN)
    }

    private fun askWhere(report: BenchReport) {
        val create = Intent(Intent.ACTION_CREATE_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("application/json")
            .putExtra(Intent.EXTRA_TITLE, "img2imu-${report.choice.file.file}.json")
        activity.startActivityForResult(create, SAVE)
    }

    private fun title(report: BenchReport): String {
        val (file, execution, protocol) = report.choice
        val threads = if (execution.threads == 1) "1 thread" else "${execution.threads} threads"
        val others = listOfNotNull(
            execution.provider.title.takeIf { execution.provider != Provider.CPU },
            protocol.mode.key.takeIf { protocol.mode != Mode.BURST },
        )
        return (listOf(file.title, threads) + others).joinToString()
    }

    private fun detail(report: BenchReport): String {
        val device = Device(view.context)
        val conditions = report.measurements.conditions
        val battery = report.device["battery"] as Map<*, *>
        return listOfNotNull(
            listOf(device.name, device.soc, device.system).filter { it.isNotEmpty() }.joinToString(" · "),
            report.verdict.taken?.takeIf { it.provider != Provider.CPU }?.toString(),
            conditions.before.thermal?.let {
                "thermal status ${thermalName(it)} before, ${thermalName(conditions.after.thermal)} after"
            },
            heat(conditions),
            battery["level"]?.let { "battery $it %" + if (battery["charging"] == true) ", charging" else "" },
            memory(report),
            "energy " + (conditions.joules?.let { String.format("%.1f mJ for each run, of the whole phone", 1e3 * it) }
                ?: conditions.energyNote),
            "${report.measurements.whole.nanoseconds.size} runs after ${report.measurements.protocol.warmUp} to warm up",
        ).joinToString("\n")
    }

    /** 1 is where the phone throttles severely. */
    private fun heat(conditions: Conditions): String? {
        val known = listOf("before" to conditions.before.headroom, "after" to conditions.after.headroom)
        val told = known.mapNotNull { (moment, share) -> share?.let { String.format("%.2f $moment", it) } }
        return if (told.isEmpty()) null else "thermal headroom ${told.joinToString()} (1 throttles)"
    }

    private fun memory(report: BenchReport): String {
        val file = String.format("the model's file has %.1f MB", report.verdict.fileBytes / 1e6)
        return report.measurements.conditions.memory?.let { String.format("memory %+.1f MB, %s", it / 1e6, file) } ?: file
    }

    private fun select(choice: BenchChoice) {
        val known = Variant.entries + demo.opened.list()
        if (known != files) {
            files = known
            offer(R.id.form, files.map { it.title })
        }
        spinner(R.id.form).setSelection(maxOf(0, files.indexOf(choice.file)))
        spinner(R.id.threads).setSelection(maxOf(0, threads.indexOf(choice.execution.threads)))
        spinner(R.id.provider).setSelection(choice.execution.provider.ordinal)
        spinner(R.id.mode).setSelection(choice.protocol.mode.ordinal)
        offerLengths(choice.protocol.mode)
        spinner(R.id.length).setSelection(maxOf(0, lengths.indexOfFirst { it.protocol == choice.protocol }))
    }

    /** Each mode has its own; what is chosen among them stays. */
    private fun offerLengths(mode: Mode) {
        val known = lengths(mode)
        if (known == lengths) return
        lengths = known
        offer(R.id.length, known.map { it.title })
    }

    private fun offer(id: Int, names: List<String>) {
        val adapter = ArrayAdapter(view.context, android.R.layout.simple_spinner_item, names)
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        spinner(id).adapter = adapter
    }

    private fun spinner(id: Int): Spinner = view.find(id)

    private data class Length(val title: String, val protocol: Protocol)

    companion object {
        private const val SAVE = 0
        private const val OPEN = 1
        private val MINUTES = listOf(10, 2, 5, 30)
        private val CHOICES = listOf(R.id.form, R.id.threads, R.id.provider, R.id.mode, R.id.length)
        private val STAGES = mapOf(
            Stage.CONVERT to "convert",
            Stage.INFERENCE to "inference",
            Stage.END_TO_END to "end to end",
            Stage.FIRST to "first",
            Stage.LAST to "last",
        )
        private val DOING = mapOf(
            Bench.OPEN to "Opening the model",
            Bench.COPY to "Copying the file",
            Bench.COMPARE to "Comparing with Python",
            Stage.COOL_DOWN to "Waiting for the phone to cool",
        )

        private fun lengths(mode: Mode): List<Length> = if (mode == Mode.SUSTAINED) {
            MINUTES.map { Length("$it minutes", strict(mode, 60.0 * it)) }
        } else {
            listOf(
                Length("Quick", Protocol(runs = mode.runs, seconds = mode.seconds, mode = mode)),
                Length("To be quoted", strict(mode, Rule.SECONDS)),
            )
        }

        private fun strict(mode: Mode, seconds: Double) =
            Protocol(runs = Rule.RUNS, seconds = seconds, coolDown = Rule.COOL_DOWN, mode = mode)

        private fun named(name: String, stage: String, timing: Timing) =
            if (stage == Stage.FIRST || stage == Stage.LAST) String.format("$name %.0f s", timing.seconds) else name

        private fun cells(timing: Timing) = listOf(50.0, 90.0, 99.0).map { milliseconds(timing.percentile(it)) }

        private fun percent(share: Double) = "${Math.round(100 * share)} %"

        fun milliseconds(value: Double): String = String.format(if (value < 10) "%.2f" else "%.1f", value)
    }
}
