// For a Node that does not look at https_proxy by itself: node --import proxied.mjs, with WEIR_NODE_MODULES set.
import { createRequire } from "node:module";

const { ProxyAgent, setGlobalDispatcher } = createRequire(`${process.env.WEIR_NODE_MODULES}/`)("undici");
setGlobalDispatcher(new ProxyAgent(process.env.https_proxy));
