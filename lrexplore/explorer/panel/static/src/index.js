import { Panel } from "./panel.js";
import { Store } from "./store.js";

// A factory, so that every widget model has one store and all of its views share it.
export default () => {
  let store = null;
  return {
    initialize({ model }) {
      store = new Store(model);
      return () => store.close();
    },
    render({ model, el }) {
      const panel = new Panel(el, model, store);
      return () => panel.close();
    },
  };
};
