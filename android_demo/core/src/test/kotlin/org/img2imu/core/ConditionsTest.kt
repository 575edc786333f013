package org.img2imu.core

import org.junit.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** What a benchmark notes of the machine, and whether its numbers may be quoted: with a clock of its own. */
class ConditionsTest {
    private val clock = Stopped()
    private val seconds get() = clock.nanoseconds() / 1e9
    private val rule = Protocol(runs = Rule.RUNS, seconds = Rule.SECONDS, coolDown = Rule.COOL_DOWN)
    private val tested = SelfTestResult(4, null, null, null, 1e-6, 0, true)

    private fun measured(
        protocol: Protocol = rule,
        machine: Machine = StandInMachine(),
        onProgress: (String, Double) -> Unit = { _, _ -> },
    ): Measurements {
        val model = StandInModel(standInInfo(Form.END_TO_END)) { clock.advance(10) }
        return benchmark({ listOf(exampleWindow(100)) }, protocol, machine, clock, onProgress) { model }
    }

    private fun machine(state: () -> State) = StandInMachine(at = state)

    @Test
    fun `all that is asked for is valid`() {
        val found = measured()
        assertEquals(emptyList(), objections(found, tested, Taken(Provider.CPU, 5, 5, 1.0)))
        assertEquals("Valid", Verdict(Execution(), tested, null, 0, found).line)
        assertTrue(found.whole.seconds >= 60 && found.whole.nanoseconds.size == 6000)
        assertEquals(60.0, found.conditions.coolDown)
    }

    @Test
    fun `each thing that is missing is said`() {
        val cool = StandInMachine.COOL
        fun said(found: Measurements, result: SelfTestResult? = tested, taken: Taken? = null) =
            objections(found, result, taken)
        assertEquals(
            listOf("500 runs instead of 1,024", "5 s instead of 60", "no cool-down of 60 s before"),
            said(measured(Protocol())),
        )
        assertEquals(listOf("not compared with Python: the file holds no known answers"), said(measured(), null))
        assertEquals(listOf("other answers than Python's"), said(measured(), tested.copy(passed = false)))
        assertEquals(
            listOf("NNAPI took none of 7 nodes: this is the CPU's time"),
            said(measured(), taken = Taken(Provider.NNAPI, 0, 7, 0.0)),
        )
        assertEquals(listOf("power save was on"), said(measured(machine = machine { cool.copy(powerSave = true) })))
        assertEquals(listOf("this phone tells no thermal status"), said(measured(machine = machine { cool.copy(thermal = null) })))
    }

    @Test
    fun `what changes for a moment counts`() {
        val begin = seconds
        val moment = { seconds - begin in 100.0..102.0 }
        val away = measured(machine = machine { StandInMachine.COOL.copy(inForeground = !moment()) })
        assertEquals(
            listOf("the app was not in the foreground throughout"),
            objections(away, tested, null),
        )
        val from = seconds
        val warm = measured(
            machine = machine { StandInMachine.COOL.copy(thermal = if (seconds - from in 100.0..102.0) 1 else 0) },
        )
        assertEquals(listOf("thermal status rose to light"), objections(warm, tested, null))
        assertEquals(0, warm.conditions.after.thermal)
    }

    @Test
    fun `a warm phone is waited for, but not for ever`() {
        val begin = seconds
        val stages = LinkedHashSet<String>()
        val cooling = machine { StandInMachine.COOL.copy(thermal = if (seconds - begin < 90) 2 else 0) }
        val waited = measured(machine = cooling) { stage, _ -> stages += stage }
        assertEquals(90.0, waited.conditions.coolDown, 1.0)
        assertEquals(emptyList(), objections(waited, tested, null))
        assertEquals(listOf(Stage.COOL_DOWN, Stage.INFERENCE, Stage.END_TO_END), stages.toList())
        val hot = measured(machine = machine { StandInMachine.COOL.copy(thermal = 3) })
        assertEquals(360.0, hot.conditions.coolDown, 1.0)
        assertEquals(listOf("thermal status severe at the start"), objections(hot, tested, null))
        assertEquals(0.0, measured(Protocol(), machine { StandInMachine.COOL.copy(thermal = 3) }).conditions.coolDown)
    }

    @Test
    fun `progress is told once a second, and may stop it`() {
        class Enough : Exception()
        val told = ArrayList<Double>()
        val stopped = runCatching {
            measured(Protocol()) { stage, seconds ->
                if (stage == Stage.END_TO_END) told += seconds
                if (told.size == 4) throw Enough()
            }
        }
        assertTrue(stopped.exceptionOrNull() is Enough)
        assertEquals(listOf(0.0, 1.0, 2.0, 3.0), told)
    }

    @Test
    fun `memory and energy are differences`() {
        val phone = object : Machine {
            val begin = seconds
            override val state = StandInMachine.COOL
            override val memory get() = if (seconds == begin) 50_000_000L else 62_000_000L
            override val charge get() = Charge(if (seconds == begin) 3_000_000 else 2_999_000, 4.0, charging = false)
        }
        val found = measured(Protocol(warmUp = 0, runs = 100, seconds = 0.0), phone)
        assertEquals(12_000_000, found.conditions.memory)
        // 1,000 µAh are 3.6 C, at 4 V 14.4 J, for 100 runs of two stages.
        assertEquals(14.4 / 200, found.conditions.joules!!, 1e-12)
        assertNull(found.conditions.energyNote)
        for ((charge, note) in listOf(
            null to "not counted by this phone",
            Charge(5, 4.0, charging = true) to "not counted while charging",
            Charge(5, 4.0, charging = false) to "less than the phone's counter shows",
        )) {
            val other = measured(Protocol(), StandInMachine(charge = charge)).conditions
            assertEquals(null to note, other.joules to other.energyNote)
        }
    }

    @Test
    fun `what is asked for is known`() {
        assertEquals(Mode.PACED, Mode.of("paced"))
        assertMessage("Unknown mode \"fast\"; known: burst, paced, sustained") { Mode.of("fast") }
        assertMessage("Unknown provider \"gpu\"; known: cpu, xnnpack, nnapi") { Provider.of("gpu") }
        assertMessage("cool-down must last between") { Protocol(coolDown = -1.0) }
    }
}
