package org.img2imu.core

import org.junit.Test
import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.ln
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class SmootherTest {
    private val vectors = GoldenFolder(golden("smoothing"))
    private val inputs = vectors.settings.nested("arrays")
    private val start = vectors.doubles(inputs, "start")
    private val probabilities = vectors.rows(inputs, "probabilities")
    private val strange = vectors.rows(inputs, "strange").map { it.single() == 1f }
    private val stride = vectors.settings.number("stride")
    private val keep = vectors.settings.number("keep")
    private val tolerance = vectors.settings.number("tolerance")
    private val cases = vectors.settings.list("cases").map { Settings.of("case", it) }

    private fun transitions(case: Settings) = if ("transitions" in case) case.rows("transitions") else null

    /** What a smoother says of all windows, and the window that each answer came with. */
    private fun answers(
        chain: Chain,
        lag: Int,
        likelihood: (Int) -> DoubleArray,
    ): Pair<List<DoubleArray>, List<Int>> {
        val found = ArrayList<DoubleArray>()
        val due = ArrayList<Int>()
        var row = 0
        val smoother = FixedLagSmoother(chain, lag, stride) { at, answer ->
            assertEquals(start[found.size], at)
            found += answer.copyOf()
            due += row
        }
        while (row < start.size) {
            smoother.push(start[row], likelihood(row))
            row++
        }
        smoother.finish()
        return Pair(found, due)
    }

    @Test
    fun `every lag gives Python's posterior, with Python's window`() {
        var worst = 0.0
        for (case in cases) {
            val chain = transitions(case)?.let { rows -> Chain(rows.map { it.toDoubleArray() }) } ?: Chain.sticky(4)
            val (found, due) = answers(chain, case.whole("lag")) { row -> doubles(probabilities[row]) }
            assertEquals(case.wholes("due"), due)
            val expected = vectors.rows(case.nested("arrays"), "posterior")
            assertEquals(expected.size, found.size)
            for ((one, other) in expected.zip(found)) {
                assertEquals(1.0, other.sum(), 1e-12)
                for (each in one.indices) worst = maxOf(worst, abs(one[each] - other[each]))
            }
        }
        println("smoothing: ${cases.size} cases within $worst")
        assertTrue(worst <= tolerance, "$worst")
    }

    @Test
    fun `the unknown is the one that Python finds`() {
        for (case in cases) {
            val (found, _) = answers(Chain.sticky(2), case.whole("lag")) { row ->
                doubleArrayOf(if (strange[row]) 1 - keep else keep, 0.5)
            }
            val expected = vectors.rows(case.nested("arrays"), "unknown").map { it.single() }
            for ((one, other) in expected.zip(found)) assertEquals(one.toDouble(), other[1], tolerance)
            assertTrue(expected.any { it > 0.9 } && expected.any { it < 0.1 })
        }
    }

    private fun doubles(values: FloatArray) = DoubleArray(values.size) { values[it].toDouble() }

    private fun info(labels: Int, transitions: List<List<Double>>? = null, strangeness: List<Double>? = null) =
        ModelInfo(
            List(labels) { "class $it" }, 50.0, 250, emptyList(), Form.END_TO_END,
            transitions = transitions, strangeness = strangeness,
        )

    @Test
    fun `a model's answers are smoothed by what its metadata tell`() {
        val percentiles = List(101) { it / 100.0 }
        for (case in cases) {
            val smoothed = ArrayList<Pair<FloatArray, Boolean?>>()
            val info = info(4, transitions(case), percentiles)
            // 5 s at 50 Hz, nine tenths of which overlap: half a second from one to the next.
            val smoother = LabelSmoother(info, 0.9, case.whole("lag")) { label ->
                assertEquals(start[smoothed.size], label.start)
                smoothed += Pair(label.probabilities.copyOf(), label.unknown)
            }
            val answer = Answer(info.labels)
            for (row in start.indices) {
                probabilities[row].copyInto(answer.probabilities)
                answer.strangeness = if (strange[row]) 0.951f else 0.949f
                smoother.push(start[row], answer)
            }
            smoother.finish()
            val expected = vectors.rows(case.nested("arrays"), "posterior")
            val unknown = vectors.rows(case.nested("arrays"), "unknown").map { it.single() > 0.5f }
            expected.zip(smoothed) { one, (found, _) -> assertNear(one, found, tolerance) }
            assertEquals(unknown, smoothed.map { it.second })
        }
    }

    @Test
    fun `where the model tells nothing of the unknown, nothing is said`() {
        for (percentiles in listOf(null, List(101) { 0.0 })) {
            val said = ArrayList<Boolean?>()
            val info = info(2, strangeness = percentiles)
            val smoother = LabelSmoother(info, 0.5, 1) { said += it.unknown }
            val answer = Answer(info.labels).apply { probabilities.fill(0.5f) }
            if (percentiles == null) answer.strangeness = 5f
            repeat(4) { smoother.push(2.5 * it, answer) }
            smoother.finish()
            assertEquals(listOf<Boolean?>(null, null, null, null), said)
        }
    }

    @Test
    fun `nothing is taken from the heap for a window`() {
        val rows = transitions(cases.last())!!.map { it.toDoubleArray() }
        var time = 0.0
        val smoother = FixedLagSmoother(Chain(rows), 6, stride) { _, _ -> }
        val likelihoods = probabilities.map(::doubles)
        val bytes = bytesPerRun(2000) {
            time += stride
            smoother.push(time, likelihoods[(time / stride).toInt() % 200])
        }
        assertTrue(bytes < 8, "$bytes bytes")
    }

    @Test
    fun `two classes change as their rates say`() {
        val (a, b) = Pair(0.3, 0.02)
        val chain = Chain(listOf(doubleArrayOf(-a, a), doubleArrayOf(b, -b)))
        assertEquals(b / (a + b), chain.stationary[0], 1e-15)
        val found = DoubleArray(4)
        for (seconds in listOf(1e-3, 0.5, 7.0, 5000.0)) {
            chain.logTransitions(seconds, found)
            val left = exp(-(a + b) * seconds)
            assertEquals(ln((b + a * left) / (a + b)), found[0], 1e-10)
            assertEquals(ln(b * (1 - left) / (a + b)), found[2], 1e-10)
        }
    }

    @Test
    fun `what is no chain is refused`() {
        for (rates in listOf(
            listOf(doubleArrayOf(0.0, 1.0), doubleArrayOf(0.0, 0.0)),
            listOf(doubleArrayOf(1.0, -1.0), doubleArrayOf(1.0, -1.0)),
            listOf(doubleArrayOf(0.0), doubleArrayOf(0.0)),
            listOf(doubleArrayOf(Double.NaN)),
            emptyList(),
        )) {
            assertMessage("rates of a chain must be") { Chain(rates) }
        }
        assertMessage("a way from each class") { Chain(listOf(doubleArrayOf(-1.0, 1.0), doubleArrayOf(0.0, 0.0))) }
        assertMessage("lag must be at least 0, not -1") { FixedLagSmoother(Chain.sticky(2), -1, 1.0) { _, _ -> } }
    }
}
