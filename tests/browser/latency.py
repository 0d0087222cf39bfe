"""Milliseconds from a key press on the rank slider until every plot has been painted, as the page itself saw them."""

KEY_TIMES = """() => {
    window.keyTimes ??= [];
    window.addEventListener("keydown", (event) => window.keyTimes.push(event.timeStamp), {capture: true});
}"""
NUM_PAINTED = "() => performance.getEntriesByName('lrexplore:painted').length"
LAST_LATENCY = "() => performance.getEntriesByName('lrexplore:painted').at(-1).startTime - window.keyTimes.at(-1)"


def slider_latencies(page, *, num_steps: int = 100, panel: int = 0) -> list[float]:
    """Latencies in ms of `num_steps` presses of an arrow key, each waited for; the slider turns round at its ends."""
    slider = page.locator(".lrx-slider").nth(panel)
    slider.focus()
    page.evaluate(KEY_TIMES)
    most = int(slider.get_attribute("max"))
    direction, latencies = "ArrowRight", []
    for _ in range(num_steps):
        rank = int(slider.input_value())
        direction = "ArrowLeft" if rank >= most else "ArrowRight" if rank <= 1 else direction
        painted = page.evaluate(NUM_PAINTED)
        page.keyboard.press(direction)
        page.wait_for_function(f"before => ({NUM_PAINTED})() > before", arg=painted)
        latencies.append(page.evaluate(LAST_LATENCY))
    return latencies


def summary(latencies: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest of some latencies."""
    ordered = sorted(latencies)
    return {
        "median_ms": ordered[len(ordered) // 2],
        "p95_ms": ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)],
        "max_ms": ordered[-1],
    }
