/** The sections of the documentation and their pages, in the order of the sidebar. Paths are relative to docs/. */
export const sections: { title: string; pages: [title: string, path: string][] }[] = [
  {
    title: 'Getting started',
    pages: [
      ['Introduction', 'index'],
      ['Coming from LiteLLM', 'moving-over'],
    ],
  },
  {
    title: 'Guides',
    pages: [
      ['Making calls', 'calls'],
      ['Managing teams and models', 'management'],
      ['Models and keys', 'models'],
      ['Pools, retries and streams', 'pools-and-streams'],
      ['Files, batches and affinity', 'affinity'],
      ['Examples', 'examples'],
    ],
  },
  { title: 'Storage', pages: [['Storages, outages and moving', 'storage']] },
  { title: 'Gateway', pages: [['Run and mount the gateway', 'gateway']] },
  {
    title: 'Operations',
    pages: [
      ['Receipts and logging', 'logging'],
      ['Benchmarks', 'benchmarks'],
      ['Security model', 'security'],
    ],
  },
  {
    title: 'Reference',
    pages: [
      ['Options', 'options'],
      ['Fields of calls', 'fields'],
      ['Error codes', 'errors'],
      ['OpenAI calls', 'endpoints'],
      ['Gateway routes', 'routes'],
      ['API', 'api/index'],
    ],
  },
  { title: 'Internals', pages: [['Architecture', 'architecture']] },
];
