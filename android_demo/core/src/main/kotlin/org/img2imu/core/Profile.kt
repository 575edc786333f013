package org.img2imu.core

import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject

/**
 * All nodes of one kind, on one provider.
 *
 * @property nodes how many; a part that a provider has compiled into one counts as one
 * @property milliseconds of all of them in one run: the sum of their medians
 */
class Operator(val name: String, val provider: String, val nodes: Int, val milliseconds: Double)

/**
 * How much of a model its provider really ran.
 *
 * @property nodes that it ran
 * @property all that were run
 * @property time share of the time of all nodes, from 0 to 1
 */
class Taken(val provider: Provider, val nodes: Int, val all: Int, val time: Double) {
    /** Whether the CPU did everything instead: what was measured is the CPU's. */
    val fellBack get() = nodes == 0

    override fun toString() = when (nodes) {
        0 -> "${provider.title} took none of $all nodes: this is the CPU's time"
        all -> "${provider.title} ran all $all nodes"
        else -> "${provider.title} ran $nodes of $all nodes, ${Math.round(100 * time)} % of the time"
    }
}

/** What ONNX Runtime's profiler noted; [operators] from the costliest down. */
class Profile private constructor(val operators: List<Operator>) {
    /** Milliseconds of all nodes in one run. */
    val milliseconds get() = operators.sumOf { it.milliseconds }

    fun taken(provider: Provider): Taken {
        val own = operators.filter { it.provider == provider.runtimeName }
        val time = if (milliseconds > 0) own.sumOf { it.milliseconds } / milliseconds else 0.0
        return Taken(provider, own.sumOf { it.nodes }, operators.sumOf { it.nodes }, time)
    }

    companion object {
        private const val WHAT = "the runtime's profile"

        /**
         * Reads the profiler's file, a JSON list of events; the first run of each node does not count.
         *
         * @throws InputError if it is something else, or no node was run twice
         */
        fun parse(text: String): Profile {
            val events = Settings.element(WHAT, text) as? JsonArray ?: throw InputError("$WHAT must be a list")
            val nodes = LinkedHashMap<Triple<String, String, String>, MutableList<Double>>()
            for (event in events.mapNotNull(::node)) {
                val arguments = event.nested("args")
                val key = Triple(event.text("name"), arguments.text("op_name"), arguments.text("provider"))
                nodes.getOrPut(key, ::ArrayList) += event.number("dur") / 1e3
            }
            ensure(nodes.values.any { it.size > 1 }) { "$WHAT tells of no second run" }
            val operators = nodes.entries.groupBy({ it.key.second to it.key.third }) { median(it.value.drop(1)) }
            return Profile(
                operators.map { (kind, times) -> Operator(kind.first, kind.second, times.size, times.sum()) }
                    .sortedByDescending { it.milliseconds },
            )
        }

        private fun median(times: List<Double>): Double {
            val sorted = times.sorted()
            return if (sorted.isEmpty()) 0.0 else (sorted[(sorted.size - 1) / 2] + sorted[sorted.size / 2]) / 2
        }

        private fun node(event: JsonElement): Settings? =
            (event as? JsonObject)?.let { Settings.of(WHAT, it) }?.takeIf { "cat" in it && it.text("cat") == "Node" }
    }
}

/**
 * Runs a model with the runtime's own profiler, which slows it: never while it is measured.
 *
 * @param windows real ones, taken in turn
 */
fun profile(windows: List<FloatArray>, model: OnnxModel): Profile = Pipeline(model).use { pipeline ->
    repeat(PROFILED_RUNS) { pipeline.classify(windows[it % windows.size]) }
    model.endProfile()
}

/** The profiler notes every node of every run: enough for a median, and no more. */
private const val PROFILED_RUNS = 6
