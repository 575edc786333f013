package org.img2imu.demo

import org.img2imu.core.Golden
import org.img2imu.core.InputError
import org.img2imu.core.Model
import org.img2imu.core.SelfTestResult
import org.img2imu.core.selfTest

/** How one form did, or why it could not be tried. */
class Tried(val file: ModelFile, val result: SelfTestResult?, val problem: String?)

/**
 * What a screen shows of the self-test.
 *
 * @property tried forms so far
 * @property problem why none can be tried, in one sentence
 */
data class SelfTestState(
    val running: Boolean = false,
    val tried: List<Tried> = emptyList(),
    val problem: String? = null,
)

/** Do the pictures drawn here, and the answers given here, equal Python's? */
class SelfTest(private val demo: Demo) {
    val state = Watched(SelfTestState())

    /** Begins; without effect while it runs. */
    fun start() {
        if (state.value.running) return
        state.value = SelfTestState(running = true)
        demo.work({ state.value = SelfTestState(problem = it) }) {
            val golden = demo.golden()
            for (file in Variant.entries + demo.opened.list()) {
                val tried = try {
                    demo.open(file).use { compare(file, golden, it) }
                } catch (error: InputError) {
                    Tried(file, null, error.message)
                }
                state.value = state.value.run { copy(tried = this.tried + tried) }
            }
            state.value = state.value.copy(running = false)
        }
    }

    private fun compare(file: ModelFile, golden: Golden, model: Model): Tried {
        val result = compared(file, golden, model)
        return Tried(file, result, if (result == null) "The file holds no known answers: export it anew" else null)
    }
}

/** A model beside Python: by the golden vectors, or of an opened file by what it knows itself; null if nothing. */
fun compared(file: ModelFile, golden: Golden, model: Model): SelfTestResult? =
    if (file is Variant) selfTest(golden, model) else model.info.knownAnswers()?.let { selfTest(it, model) }
