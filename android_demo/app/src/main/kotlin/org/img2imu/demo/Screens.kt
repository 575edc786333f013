package org.img2imu.demo

import android.view.View
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import kotlin.math.roundToInt

/** The view [id] in the layout of this one. */
fun <T : View> View.find(id: Int): T = checkNotNull(findViewById<T>(id))

/** What is shown above the tabs. */
abstract class Screen(protected val view: View) {
    /** The screen is seen from now on. */
    abstract fun start()

    /** The views are about to go; what runs may go on behind other ones. */
    abstract fun unwatch()

    /** The screen is no longer seen. */
    open fun stop() = Unit

    protected fun text(id: Int): TextView = view.find(id)
    protected fun button(id: Int): Button = view.find(id)
}

/** Pictures, label, confidence and last minute of a stream. */
abstract class StreamScreen(view: View) : Screen(view) {
    private val pictures = view.find<PicturesView>(R.id.pictures)
    private val past = view.find<PastView>(R.id.past)
    private val scores = view.find<ScoresView>(R.id.scores)

    protected fun show(state: StreamState) {
        val moment = state.moment
        text(R.id.label).text = state.problem ?: moment?.label ?: view.context.getString(R.string.waiting)
        text(R.id.label).textSize = if (state.problem == null) LABEL_SP else PROBLEM_SP
        text(R.id.confidence).text =
            moment?.takeUnless { it.unknown }?.let { "${(100 * it.confidence).roundToInt()} %" }.orEmpty()
        text(R.id.status).text = state.status
        pictures.show(moment)
        past.show(state.past)
        scores.show(moment?.scores.orEmpty())
    }

    private companion object {
        const val LABEL_SP = 26f
        const val PROBLEM_SP = 16f
    }
}

/** The phone's own sensors. */
class LiveScreen(view: View, private val demo: Demo) : StreamScreen(view) {
    init {
        view.find<View>(R.id.player).visibility = View.GONE
    }

    override fun start() {
        demo.live.state.watch(::show)
        demo.live.start()
    }

    override fun unwatch() = demo.live.state.watch(null)

    override fun stop() = demo.live.stop()
}

/** The recording in the assets. */
class RecordingScreen(view: View, private val demo: Demo) : StreamScreen(view) {
    override fun start() {
        button(R.id.play).setOnClickListener {
            if (demo.playback.state.value.playing) demo.playback.pause() else demo.playback.play()
        }
        demo.playback.state.watch(::show)
        demo.playback.resume()
    }

    override fun unwatch() = demo.playback.state.watch(null)

    override fun stop() = demo.playback.suspend()

    private fun show(state: PlaybackState) {
        show(state.stream)
        button(R.id.play).setText(if (state.playing) R.string.pause else R.string.play)
        text(R.id.position).text = String.format("%.0f of %.0f s", state.seconds, state.length)
        text(R.id.truth).text = if (state.judged == 0) "" else
            "In truth ${state.truth}; ${state.right} of ${state.judged} windows right"
        if (state.stream.moment == null && state.stream.problem == null && !state.playing) {
            text(R.id.label).setText(R.string.recording_hint)
        }
    }
}

/** Whether this machine draws and answers as Python does. */
class SelfTestScreen(view: View, private val demo: Demo) : Screen(view) {
    private val rows = view.find<LinearLayout>(R.id.rows)

    override fun start() {
        button(R.id.run).setOnClickListener { demo.selfTest.start() }
        demo.selfTest.state.watch(::show)
    }

    override fun unwatch() = demo.selfTest.state.watch(null)

    private fun show(state: SelfTestState) {
        button(R.id.run).isEnabled = !state.running
        text(R.id.problem).text = state.problem.orEmpty()
        rows.removeAllViews()
        for (tried in state.tried) {
            val row = View.inflate(view.context, R.layout.outcome, null)
            row.find<TextView>(R.id.name).text = tried.file.title
            row.find<TextView>(R.id.verdict).text = verdict(tried)
            row.find<TextView>(R.id.detail).text = detail(tried)
            rows.addView(row)
        }
    }

    private fun verdict(tried: Tried): String {
        val result = tried.result ?: return "not run"
        return when {
            result.labels > 0 -> "${result.labels} of ${result.windows} labels differ"
            !result.passed -> "answers differ"
            tried.file == Variant.INT8 -> "same labels"
            else -> "same as Python"
        }
    }

    private fun detail(tried: Tried): String {
        val result = tried.result ?: return tried.problem.orEmpty()
        val pictures = result.images?.let { String.format("pictures within %.1e, ", it) }.orEmpty()
        val answers = result.logits?.let { "logits" to it } ?: ("probabilities" to result.probabilities)
        return "${result.windows} windows: $pictures" + String.format("%s within %.1e", answers.first, answers.second)
    }
}
