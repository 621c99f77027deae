/**
 * A team's fine-tuning job, from its examples to a model that the team calls by its own name. It uses the team's key and account.
 * The provider is a mock on a loopback port.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install team-model-router openai && npm install --save-dev tsx @copilotkit/aimock
 *     npx tsx fine-tuning.ts
 */
import { setTimeout as wait } from 'node:timers/promises';
import { LLMock } from '@copilotkit/aimock';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';

const apiKey = 'sk-of-acme-0123456789cb07';

/** Trains `baseModel`, a model of the provider's, on the examples; gives the name of the model that came out of it. */
export async function fineTune(
  router: TeamModelRouter,
  teamId: string,
  { account, baseModel, examples }: { account: string; baseModel: string; examples: string },
): Promise<string> {
  // Calls that name no model go to the account behind this one.
  const openai = router.forTeam(teamId, { defaultModel: account });
  const file = await openai.files.create({
    file: new File([examples], 'examples.jsonl', { type: 'application/jsonl' }),
    purpose: 'fine-tune',
  });
  let job = await openai.fineTuning.jobs.create({ model: baseModel, training_file: file.id, suffix: 'acme' });
  while (job.fine_tuned_model === null) {
    if (job.status === 'failed' || job.status === 'cancelled') {
      throw new Error(`The job ${job.status}: ${job.error?.message ?? 'no reason given'}`);
    }
    // In an application: minutes.
    await wait(10);
    job = await openai.fineTuning.jobs.retrieve(job.id);
  }
  return job.fine_tuned_model;
}

// A provider that takes the key of acme only; in an application it is the customer's.
const provider = new LLMock({ port: 0, auth: { apiKeys: [apiKey] } });
provider.onMessage(/.*/, { content: 'Have you tried turning it off and on again?' });
await provider.start();
const router = new TeamModelRouter({
  storage: memoryStorage(),
  encryptionKeys: [generateEncryptionKey()],
  egress: { allow: [provider.url] },
});
try {
  const api_base = `${provider.url}/v1`;
  await router.addModel('acme', {
    model_name: 'base',
    litellm_params: { model: 'openai/gpt-4o-mini', api_key: apiKey, api_base },
  });

  const example = {
    messages: [
      { role: 'user', content: 'It is broken.' },
      { role: 'assistant', content: 'Reboot.' },
    ],
  };
  const examples = Array.from({ length: 10 }, () => JSON.stringify(example)).join('\n');
  const model = await fineTune(router, 'acme', { account: 'base', baseModel: 'gpt-4o-mini', examples });
  console.log(`Trained ${model.replace(/:[^:]*$/, ':...')}`);

  await router.addModel('acme', {
    model_name: 'support',
    litellm_params: { model: `openai/${model}`, api_key: apiKey, api_base },
  });
  const answer = await router.chatCompletion('acme', {
    model: 'support',
    messages: [{ role: 'user', content: 'It is broken again.' }],
  });
  console.log(`support says: ${answer.choices[0]?.message.content}`);
  const last = provider.getRequests().at(-1)?.body as { model?: string } | undefined;
  console.log(`support is ${last?.model === model ? 'that model' : 'another model'}.`);
} finally {
  await router.close();
  await provider.stop();
}
