package org.img2imu.core

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.booleanOrNull
import kotlinx.serialization.json.doubleOrNull
import kotlinx.serialization.json.intOrNull

/** The named values of a JSON object; whatever is missing or of another type is an [InputError]. */
internal class Settings(private val what: String, private val values: Map<String, JsonElement>) {
    val names get() = values.keys

    /** Whether there is such a value other than null. */
    operator fun contains(name: String) = values[name].let { it != null && it !is JsonNull }

    fun text(name: String): String = value(name, "a text") { it.text() }

    fun number(name: String): Double = value(name, "a number") { it.plain()?.doubleOrNull?.takeIf(Double::isFinite) }

    fun whole(name: String): Int = value(name, "a whole number") { it.plain()?.intOrNull }

    fun flag(name: String): Boolean = value(name, "true or false") { it.plain()?.booleanOrNull }

    fun list(name: String): List<JsonElement> = value(name, "a list") { it as? JsonArray }

    fun texts(name: String): List<String> = value(name, "a list of texts") { list -> all(list) { it.text() } }

    fun wholes(name: String): List<Int> =
        value(name, "a list of whole numbers") { list -> all(list) { it.plain()?.intOrNull } }

    fun numbers(name: String): List<Double> =
        value(name, "a list of numbers") { list -> all(list) { it.plain()?.doubleOrNull } }

    fun rows(name: String): List<List<Double>> = value(name, "a list of lists of numbers") { list ->
        all(list) { row -> all(row) { it.plain()?.doubleOrNull } }
    }

    fun nested(name: String) = Settings("$what, $name", value(name, "an object") { it as? JsonObject })

    private fun JsonElement.text() = (this as? JsonPrimitive)?.takeIf { it.isString }?.content

    private fun JsonElement.plain() = (this as? JsonPrimitive)?.takeIf { !it.isString }

    /** Every element of a list; null if it is none or one of them is of another type. */
    private fun <T : Any> all(list: JsonElement, read: (JsonElement) -> T?): List<T>? =
        (list as? JsonArray)?.map { read(it) ?: return null }

    private fun <T : Any> value(name: String, kind: String, read: (JsonElement) -> T?): T {
        val found = values[name] ?: throw InputError("$what has no $name")
        return read(found) ?: throw InputError("$what: $name must be $kind, not $found")
    }

    companion object {
        fun parse(what: String, text: String): Settings = of(what, element(what, text))

        fun of(what: String, element: JsonElement): Settings =
            Settings(what, element as? JsonObject ?: throw InputError("$what must be a JSON object, not $element"))

        fun element(what: String, text: String): JsonElement = try {
            Json.parseToJsonElement(text)
        } catch (error: IllegalArgumentException) {
            throw InputError("$what is not JSON: ${error.message?.lineSequence()?.first()}", error)
        }
    }
}
