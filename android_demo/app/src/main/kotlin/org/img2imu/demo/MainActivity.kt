package org.img2imu.demo

import android.app.Activity
import android.content.Intent
import android.os.Build
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import android.widget.TextView
import org.img2imu.core.Execution
import org.img2imu.core.InputError
import org.img2imu.core.Mode
import org.img2imu.core.Protocol
import org.img2imu.core.Provider

/** The screens, in the order of their tabs. */
enum class Tab(val button: Int, val layout: Int) {
    LIVE(R.id.tab_live, R.layout.stream),
    RECORDING(R.id.tab_recording, R.layout.stream),
    RECORD(R.id.tab_record, R.layout.record),
    BENCHMARK(R.id.tab_benchmark, R.layout.benchmark),
    SELF_TEST(R.id.tab_self_test, R.layout.self_test),
}

/**
 * One screen at a time. Whatever lasts longer than a rotation is in [Demo].
 *
 * Started with the extra `benchmark` it measures without anyone's help; see [startUnattended].
 */
class MainActivity : Activity() {
    lateinit var demo: Demo
        private set
    private lateinit var root: View
    private lateinit var screen: Screen

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        demo = lastNonConfigurationInstance as Demo? ?: Demo(applicationContext)
        root = View.inflate(this, R.layout.main, null)
        setContentView(root)
        root.setOnApplyWindowInsetsListener(::keepClear)
        for (tab in Tab.entries) root.find<View>(tab.button).setOnClickListener { choose(tab) }
        show(demo.tab)
        if (state == null) startUnattended(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        startUnattended(intent)
    }

    override fun onStart() {
        super.onStart()
        screen.start()
    }

    override fun onStop() {
        screen.unwatch()
        if (!isChangingConfigurations) {
            screen.stop()
            demo.bench.seen = false
        }
        super.onStop()
    }

    override fun onRetainNonConfigurationInstance(): Any = demo

    override fun onDestroy() {
        if (!isChangingConfigurations) demo.close()
        super.onDestroy()
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val document = data?.data
        if (result == RESULT_OK && document != null) (screen as? BenchScreen)?.take(request, document)
    }

    /** A benchmark fills the whole machine, and labels belong to a recording: nothing else is looked at meanwhile. */
    private fun choose(tab: Tab) {
        if (tab == demo.tab || demo.bench.running || demo.recorder.running) return
        screen.unwatch()
        screen.stop()
        show(tab)
        screen.start()
    }

    private fun show(tab: Tab) {
        demo.tab = tab
        val content = root.find<ViewGroup>(R.id.content)
        content.removeAllViews()
        val view = layoutInflater.inflate(tab.layout, content, true)
        screen = when (tab) {
            Tab.LIVE -> LiveScreen(view, demo)
            Tab.RECORDING -> RecordingScreen(view, demo)
            Tab.RECORD -> RecordScreen(this, view, demo)
            Tab.BENCHMARK -> BenchScreen(this, view, demo)
            Tab.SELF_TEST -> SelfTestScreen(view, demo)
        }
        for (each in Tab.entries) root.find<TextView>(each.button).isSelected = each == tab
    }

    /**
     * Measures as the intent's extras say: `form`, or `model` in the folder of opened files; `threads`,
     * `provider`, `mode`, `runs`, `seconds`, `cool_down` (the mode's own where they are missing); and writes
     * `report`.json, or `report`.error.txt, to the app's own folder.
     */
    private fun startUnattended(intent: Intent) {
        if (!intent.getBooleanExtra("benchmark", false) || demo.bench.running || demo.recorder.running) return
        choose(Tab.BENCHMARK)
        val report = intent.getStringExtra("report") ?: "report"
        if (!REPORT_NAME.matches(report)) {
            return demo.bench.fail("A report's name has letters, digits, - and _ only, not \"$report\"", null)
        }
        try {
            demo.bench.start(asked(intent), report)
        } catch (error: InputError) {
            demo.bench.fail(checkNotNull(error.message), report)
        }
    }

    private fun asked(intent: Intent): BenchChoice {
        val mode = intent.getStringExtra("mode")?.let(Mode::of) ?: Mode.BURST
        val own = intent.getStringExtra("form")?.let(Variant::of) ?: Variant.END_TO_END
        val protocol = Protocol(
            runs = intent.getIntExtra("runs", mode.runs),
            seconds = intent.getFloatExtra("seconds", mode.seconds.toFloat()).toDouble(),
            coolDown = intent.getFloatExtra("cool_down", 0f).toDouble(),
            mode = mode,
        )
        val provider = intent.getStringExtra("provider")?.let(Provider::of) ?: Provider.CPU
        return BenchChoice(
            intent.getStringExtra("model")?.let(demo.opened::find) ?: own,
            Execution(intent.getIntExtra("threads", 1), provider),
            protocol,
        )
    }

    /** Since Android 15 an app draws beneath the system's bars. */
    private fun keepClear(view: View, insets: WindowInsets): WindowInsets {
        if (Build.VERSION.SDK_INT >= 30) {
            val bars = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
            view.setPadding(bars.left, bars.top, bars.right, bars.bottom)
        }
        return insets
    }

    private companion object {
        val REPORT_NAME = Regex("[A-Za-z0-9_-]{1,100}")
    }
}
