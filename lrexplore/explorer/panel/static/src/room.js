// How much room there is: on a laptop's screen numbers are brief and plots low, so that both are seen together.

const SHORT_PX = 900;
const PLOT_PX = { short: 208, tall: 300 };

export function isShort() {
  return window.innerHeight < SHORT_PX;
}

export function plotHeight() {
  return isShort() ? PLOT_PX.short : PLOT_PX.tall;
}
