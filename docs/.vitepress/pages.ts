/** The sections of the documentation and their pages, in the order of the sidebar. Paths are relative to docs/. */
export const sections: { title: string; pages: [title: string, path: string][] }[] = [
  {
    title: 'Getting started',
    pages: [
      ['Introduction', 'index'],
      ['Install', 'getting-started/install'],
      ['Five-minute tutorial', 'getting-started/tutorial'],
      ['Core concepts', 'getting-started/concepts'],
    ],
  },
  {
    title: 'Guides',
    pages: [
      ['Making calls', 'guides/calls'],
      ['Managing teams and models', 'guides/managing'],
      ['Add and test models', 'guides/models'],
      ['Azure and Entra', 'guides/azure'],
      ['Streaming', 'guides/streaming'],
      ['Realtime and WebSockets', 'guides/realtime'],
      ['Files, batches, fine-tuning', 'guides/files-and-affinity'],
      ['Pools, retries, fallbacks', 'guides/pools'],
      ['Shared models', 'guides/shared-models'],
      ['API keys and permissions', 'guides/api-keys'],
      ['Express, Fastify, Hono, Next', 'guides/frameworks'],
      ['Receipts and logging', 'guides/receipts-and-logging'],
      ['Usage and cost', 'guides/usage'],
      ['Encryption keys and backup', 'guides/encryption-keys'],
      ['Examples', 'guides/examples'],
    ],
  },
  {
    title: 'Storage',
    pages: [
      ['Choosing a storage', 'storage/choosing'],
      ['Moving to another storage', 'storage/moving'],
    ],
  },
  {
    title: 'Gateway',
    pages: [
      ['Run the gateway', 'gateway/serve'],
      ['Mount the gateway', 'gateway/mounting'],
      ['Authentication', 'gateway/authentication'],
      ['Coming from LiteLLM', 'gateway/moving-over'],
    ],
  },
  {
    title: 'Operations',
    pages: [
      ['Deployment', 'operations/deployment'],
      ['Network access', 'operations/network'],
      ['Limits of memory and bodies', 'operations/limits'],
      ['Many processes', 'operations/multi-node'],
      ['Outages', 'operations/outages'],
      ['Benchmarks', 'operations/benchmarks'],
    ],
  },
  {
    title: 'Reference',
    pages: [
      ['Options', 'reference/options'],
      ['Models, teams and keys', 'reference/bodies'],
      ['Fields of calls', 'reference/fields'],
      ['Error codes', 'reference/errors'],
      ['Log messages', 'reference/log-messages'],
      ['Response headers', 'reference/response-headers'],
      ['OpenAI calls', 'reference/endpoints'],
      ['Gateway routes', 'reference/routes'],
      ['API', 'api/index'],
    ],
  },
  {
    title: 'Internals',
    pages: [
      ['Architecture', 'internals/architecture'],
      ['Security model', 'internals/security'],
    ],
  },
];
