package org.img2imu.core

import java.util.Locale

/** What a latency depends on besides the model, as the phone tells it at this moment. */
interface Machine {
    val state: State

    /** Memory of this process, its share of common pages included (PSS), in bytes; null where unknown. */
    val memory: Long?

    /** What the battery holds; null where it is not counted. */
    val charge: Charge?
}

/**
 * What may change while a model is measured.
 *
 * @property thermal place in [THERMAL_STATUS]; null before Android 10
 * @property headroom 1 where the phone begins to throttle severely; null where it is not told
 * @property inForeground whether the app was seen since the benchmark began
 */
data class State(val thermal: Int?, val headroom: Double?, val powerSave: Boolean, val inForeground: Boolean)

/** As Android's `PowerManager` names them, from cool to hot. */
val THERMAL_STATUS = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

/** The name of a thermal status; null where there is none. */
fun thermalName(status: Int?): String? = status?.let { THERMAL_STATUS.getOrElse(it) { "unknown" } }

/** @property charging whether something fills the battery meanwhile */
class Charge(val microampereHours: Long, val volts: Double, val charging: Boolean)

/**
 * The machine during a benchmark.
 *
 * @property before when it began, after the cool-down
 * @property hottest thermal status seen
 * @property powerSave whether it was ever on
 * @property coolDown seconds that were waited
 * @property memory change of PSS in bytes, from before the model was opened to after its first answer
 * @property joules that the whole phone took for each run; null where that cannot be said
 * @property energyNote why not
 */
class Conditions(
    val before: State,
    val after: State,
    val hottest: Int?,
    val powerSave: Boolean,
    val inForeground: Boolean,
    val coolDown: Double,
    val memory: Long?,
    val joules: Double?,
    val energyNote: String?,
)

/** Looks at the machine before, between and after the runs. */
internal class Watch(
    private val machine: Machine,
    private val clock: Clock,
    private val onProgress: (String, Double) -> Unit,
) {
    private val seen = ArrayList<State>()
    private var cooled = 0.0
    private var before: Long? = null
    private var taken: Long? = null
    private var charge: Charge? = null

    /** Waits for [seconds], and then until the phone is cool, but not for ever. */
    fun coolDown(seconds: Double) {
        val begin = clock.nanoseconds()
        while (seconds > 0 && (cooled < seconds || warm() && cooled < seconds + PATIENCE)) {
            onProgress(Stage.COOL_DOWN, cooled)
            clock.sleep(1_000_000_000)
            cooled = (clock.nanoseconds() - begin) / 1e9
        }
    }

    private fun warm() = (machine.state.thermal ?: 0) > 0

    fun begin() {
        before = machine.memory
        charge = machine.charge
        seen += machine.state
    }

    /** Called after the first answer, before any memory is taken to note the times. */
    fun opened() {
        taken = machine.memory?.let { now -> before?.let { now - it } }
    }

    fun look(stage: String, seconds: Double): State {
        onProgress(stage, seconds)
        return machine.state.also { if (it != seen.last()) seen += it }
    }

    fun end(runs: Int): Conditions {
        seen += machine.state
        val after = machine.charge
        val spent = joules(charge, after)
        return Conditions(
            seen.first(),
            seen.last(),
            seen.mapNotNull { it.thermal }.maxOrNull(),
            seen.any { it.powerSave },
            seen.all { it.inForeground },
            cooled,
            taken,
            spent?.let { it / runs },
            if (spent == null) note(charge, after) else null,
        )
    }

    private fun joules(before: Charge?, after: Charge?): Double? {
        if (before == null || after == null || before.charging || after.charging) return null
        val coulombs = (before.microampereHours - after.microampereHours) * 3.6e-3
        return (coulombs * (before.volts + after.volts) / 2).takeIf { it > 0 }
    }

    private fun note(before: Charge?, after: Charge?) = when {
        before == null || after == null -> "not counted by this phone"
        before.charging || after.charging -> "not counted while charging"
        else -> "less than the phone's counter shows"
    }

    private companion object {
        /** Seconds that a warm phone is waited for on top. */
        const val PATIENCE = 300.0
    }
}

/** What the strictest benchmarks of phones ask for, MLPerf Mobile first. */
object Rule {
    const val RUNS = 1024
    const val SECONDS = 60.0
    const val COOL_DOWN = 60.0
}

/**
 * Why a latency should not be quoted; empty if it may be.
 *
 * @param tested the comparison with Python; null if the file holds no answers to compare with
 * @param taken what the provider ran; null where the runtime does not tell
 */
fun objections(measured: Measurements, tested: SelfTestResult?, taken: Taken?): List<String> {
    val conditions = measured.conditions
    val runs = measured.whole.nanoseconds.size
    val seconds = measured.whole.seconds
    val start = conditions.before.thermal
    return listOfNotNull(
        String.format(Locale.ROOT, "%,d runs instead of %,d", runs, Rule.RUNS).takeIf { runs < Rule.RUNS },
        String.format(Locale.ROOT, "%.0f s instead of %.0f", seconds, Rule.SECONDS).takeIf { seconds < Rule.SECONDS },
        "no cool-down of ${Rule.COOL_DOWN.toInt()} s before".takeIf { conditions.coolDown < Rule.COOL_DOWN },
        when {
            tested == null -> "not compared with Python: the file holds no known answers"
            !tested.passed -> "other answers than Python's"
            else -> null
        },
        taken?.takeIf { it.fellBack }?.toString(),
        "power save was on".takeIf { conditions.powerSave },
        "the app was not in the foreground throughout".takeIf { !conditions.inForeground },
        when {
            start == null -> "this phone tells no thermal status"
            start > 0 -> "thermal status ${thermalName(start)} at the start"
            conditions.hottest != start -> "thermal status rose to ${thermalName(conditions.hottest)}"
            else -> null
        },
    )
}
