package org.img2imu.core

import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.doubleOrNull
import kotlinx.serialization.json.jsonPrimitive
import kotlin.math.max

/** One picture of a window: settings as `convert.view_to_dict` writes them. */
sealed interface View {
    /** Of the windows, in Hz. */
    val samplingRate: Double

    /** Of the picture, in pixels. */
    val width: Int
    val height: Int

    /** Name of the sensor that it draws. */
    val sensor: String
}

/** What becomes black and what full colour. */
enum class Normalization {
    /** Least and largest decibels of each axis and window. */
    AXIS,

    /** Least and largest decibels of the three axes together. */
    WINDOW,

    /** A fixed range of decibels. */
    FIXED,
}

/**
 * A triaxial window as one RGB spectrogram: x to red, y to green, z to blue.
 *
 * @property nfft samples per frame
 * @property noverlap samples that neighbouring frames share
 * @property detrend whether each axis' mean is removed first, and with it gravity
 * @property lowDb decibels shown as black by [Normalization.FIXED]; 0 dB is 1 g²/Hz, of other sensors their unit's
 * @property highDb decibels shown as full colour by [Normalization.FIXED]
 * @property dynamicRange decibels below the maximum beyond which the others draw black
 * @property floor smallest power density in g²/Hz, of other sensors in their unit's
 */
data class SpectrogramView(
    override val samplingRate: Double = 50.0,
    val nfft: Int = 64,
    val noverlap: Int = 60,
    val detrend: Boolean = false,
    val normalize: Normalization = Normalization.AXIS,
    val lowDb: Double = -70.0,
    val highDb: Double = 5.0,
    val dynamicRange: Double? = null,
    val floor: Double = 1e-10,
    override val width: Int = 128,
    override val height: Int = 96,
    override val sensor: String = ACCELEROMETER.name,
) : View {
    init {
        requireRateAndSize()
        ensure(nfft in 4..MAX_NFFT) { "nfft must lie between 4 and $MAX_NFFT, not $nfft" }
        ensure(noverlap in 0 until nfft) { "noverlap must lie between 0 and nfft - 1 = ${nfft - 1}, not $noverlap" }
        ensure(lowDb >= -1000 && lowDb < highDb && highDb <= 1000) {
            "db_range must be two rising numbers within -1000 and 1000, not $lowDb and $highDb"
        }
        ensure(dynamicRange == null || dynamicRange >= 1) { "dynamic_range must be at least 1 dB, not $dynamicRange" }
        ensure(floor >= 1e-30 && floor < 1) { "floor must lie between 1e-30 and 1, not $floor" }
    }

    /** Samples between the starts of neighbouring frames. */
    val hop get() = nfft - noverlap

    /** Frequencies from 0 to half the sampling rate. */
    val bins get() = nfft / 2 + 1

    /** Frames in a window of [samples]; a window shorter than [nfft] is padded to one. */
    fun frames(samples: Int) = 1 + max(0, samples - nfft) / hop
}

/**
 * The signed trace as a filled picture: a pixel is bright where the trace lies above its row.
 *
 * @property low value at the bottom row, of acceleration in g
 * @property high value at the top row
 * @property detrend whether each axis' mean is removed first
 */
data class WaveformView(
    override val samplingRate: Double = 50.0,
    val low: Double = -2.0,
    val high: Double = 2.0,
    val detrend: Boolean = false,
    override val width: Int = 128,
    override val height: Int = 96,
    override val sensor: String = ACCELEROMETER.name,
) : View {
    init {
        requireRateAndSize()
        ensure(low >= -MAX_VALUE && low < high && high <= MAX_VALUE) {
            "low must be below high, both within $MAX_VALUE, not $low and $high"
        }
    }
}

/**
 * The views in a model's metadata: a JSON list, empty for a model that reads windows.
 *
 * @throws InputError if a kind or a setting is unknown or out of its range, or sizes differ
 */
fun parseViews(json: String): List<View> {
    val list = Settings.element("views", json) as? JsonArray ?: throw InputError("views must be a JSON list, not $json")
    return parseViews(list)
}

internal fun parseViews(list: List<JsonElement>): List<View> {
    val views = list.mapIndexed { index, element -> parseView(Settings.of("view ${index + 1}", element)) }
    val sizes = views.map { "${it.width}x${it.height}" }.distinct()
    ensure(sizes.size <= 1) { "all views must have one picture size, not ${sizes.joinToString()}" }
    return views
}

private fun parseView(settings: Settings): View {
    return when (val kind = settings.text("kind")) {
        "spectrogram" -> parseSpectrogram(settings)
        "waveform" -> parseWaveform(settings)
        else -> throw InputError("unknown kind of view \"$kind\"; known: spectrogram, waveform")
    }
}

private val COMMON_NAMES = setOf("kind", "sampling_rate", "detrend", "width", "height", "sensor")
private val SPECTROGRAM_NAMES =
    COMMON_NAMES + setOf("nfft", "noverlap", "normalize", "db_range", "dynamic_range", "floor")
private val WAVEFORM_NAMES = COMMON_NAMES + setOf("low", "high")

private fun parseSpectrogram(settings: Settings): SpectrogramView {
    requireKnown(settings, SPECTROGRAM_NAMES)
    val range = settings.list("db_range").map { it.jsonPrimitive.doubleOrNull ?: Double.NaN }
    ensure(range.size == 2) { "db_range must be two rising numbers, not $range" }
    return SpectrogramView(
        settings.number("sampling_rate"),
        settings.whole("nfft"),
        settings.whole("noverlap"),
        settings.flag("detrend"),
        parseNormalization(settings.text("normalize")),
        range[0],
        range[1],
        if ("dynamic_range" in settings) settings.number("dynamic_range") else null,
        settings.number("floor"),
        settings.whole("width"),
        settings.whole("height"),
        if ("sensor" in settings) settings.text("sensor") else ACCELEROMETER.name,
    )
}

private fun parseWaveform(settings: Settings): WaveformView {
    requireKnown(settings, WAVEFORM_NAMES)
    return WaveformView(
        settings.number("sampling_rate"),
        settings.number("low"),
        settings.number("high"),
        settings.flag("detrend"),
        settings.whole("width"),
        settings.whole("height"),
        if ("sensor" in settings) settings.text("sensor") else ACCELEROMETER.name,
    )
}

/** A setting that this version does not know would draw another picture than the model learnt. */
private fun requireKnown(settings: Settings, known: Set<String>) {
    val unknown = settings.names - known
    ensure(unknown.isEmpty()) { "unknown setting of a ${settings.text("kind")} view: ${unknown.joinToString()}" }
}

private fun parseNormalization(name: String) = when (name) {
    "axis" -> Normalization.AXIS
    "window" -> Normalization.WINDOW
    "fixed" -> Normalization.FIXED
    else -> throw InputError("normalize must be \"axis\", \"window\" or \"fixed\", not \"$name\"")
}

private fun View.requireRateAndSize() {
    ensure(samplingRate in 1e-3..1e6) { "sampling_rate must lie between 0.001 and 1,000,000 Hz, not $samplingRate" }
    ensure(width in 2..MAX_PIXELS && height in 2..MAX_PIXELS) {
        "a picture must have 2 to $MAX_PIXELS pixels each way, not ${width}x$height"
    }
}

private const val MAX_VALUE = 1e6
private const val MAX_NFFT = 4096
private const val MAX_PIXELS = 1024
