import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  type EncryptionKey,
  generateEncryptionKey,
  type RotationProgress,
  TeamModelRouter,
} from 'team-model-router';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { expect, it } from 'vitest';
import { recordingProvider } from '../support/recording-provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const teams = 20;
const deploymentsOfTeam = 50;
const messages = [{ role: 'user' as const, content: 'hello' }];
const newPath = temporaryFolder();

/** Rotates in a process of its own, which is killed once it has told of `records` records; without it, at its end. */
async function rotate(file: string, keys: EncryptionKey[], records = Number.POSITIVE_INFINITY) {
  const child = fork(
    fileURLToPath(new URL('../support/rotation-process.ts', import.meta.url)),
    [file, JSON.stringify(keys)],
    { execArgv: ['--import', 'tsx'], cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  );
  let last: RotationProgress | undefined;
  child.on('message', (progress: RotationProgress) => {
    last = progress;
    if (progress.records >= records) child.kill('SIGKILL');
  });
  const signal = await new Promise((resolve) => child.once('exit', (_, by) => resolve(by)));
  return { signal, progress: last };
}

it('1 000 deployments under three keys rotate while others write and call, through two kills', async () => {
  const provider = await recordingProvider();
  const file = newPath();
  const keys = ['k1', 'k2', 'k3'].map((id) => generateEncryptionKey(id));
  const [k1, k2, k3] = keys as [EncryptionKey, EncryptionKey, EncryptionKey];
  const open = (...encryptionKeys: EncryptionKey[]) =>
    new TeamModelRouter({ storage: sqliteStorage(file), encryptionKeys, egress: { allow: [provider.url] } });
  const body = (name: string) => ({
    model_name: name,
    litellm_params: { model: name, api_key: `key-of-${name}`, api_base: provider.url, num_retries: 0 },
  });

  // Each third under a primary key of its own.
  for (const [third, primary] of [k1, k2, k3].entries()) {
    const router = open(primary, ...keys.filter((key) => key !== primary));
    for (let team = 0; team < teams; team++) {
      const names = Array.from({ length: deploymentsOfTeam }, (_, index) => index).filter(
        (n) => n % 3 === third,
      );
      await Promise.all(names.map((index) => router.addModel(`team-${team}`, body(`m-${team}-${index}`))));
    }
    await router.close();
  }
  const router = open(k3, k1, k2);
  const before = await router.encryptionKeyUsage();
  expect(Object.values(before).reduce((sum, count) => sum + count, 0)).toBe(teams * deploymentsOfTeam);
  expect(Object.keys(before).sort()).toEqual(['k1', 'k2', 'k3']);

  let running = true;
  let calls = 0;
  let writes = 0;
  const wrongKeys: string[] = [];
  const caller = async (offset: number) => {
    for (let turn = offset; running; turn += 7) {
      const team = turn % teams;
      const model = `m-${team}-${turn % deploymentsOfTeam}`;
      // A call that fails fails the test.
      await router.chatCompletion(`team-${team}`, { model, messages });
      calls += 1;
    }
  };
  const writer = async (team: number) => {
    while (running) {
      const { model_id } = await router.addModel(`team-${team}`, body(`extra-${team}`));
      await router.updateModel(`team-${team}`, model_id, { litellm_params: { weight: 2 } });
      await router.deleteModel(`team-${team}`, model_id);
      writes += 3;
    }
  };
  const load = Promise.all([caller(0), caller(1), caller(2), writer(3), writer(11)]);
  // Neither is to hide the other's failure.
  load.catch(() => {});

  const order = [k3, k1, k2];
  const first = await rotate(file, order, 6);
  const second = await rotate(file, order, 14);
  expect([first.signal, second.signal]).toEqual(['SIGKILL', 'SIGKILL']);
  const between = await router.encryptionKeyUsage();
  expect(Object.keys(between).length).toBeGreaterThan(1);
  expect(between.k3).toBeGreaterThan(before.k3 ?? 0);
  const last = await rotate(file, order);
  expect(last).toMatchObject({ signal: null, progress: { records: teams + 1, unreadable: 0, failed: 0 } });
  running = false;
  await load;

  expect(await router.encryptionKeyUsage()).toEqual({ k3: teams * deploymentsOfTeam });
  expect(calls).toBeGreaterThan(50);
  expect(writes).toBeGreaterThan(10);
  for (const { headers, body: sent } of provider.requests) {
    const { model } = JSON.parse(String(sent)) as { model: string };
    if (headers.authorization !== `Bearer key-of-${model}`) wrongKeys.push(model);
  }
  expect(wrongKeys).toEqual([]);
  await router.close();

  // The other two keys are thrown away, and every call works.
  const alone = open(k3);
  for (let team = 0; team < teams; team++) {
    const names = Array.from({ length: deploymentsOfTeam }, (_, index) => `m-${team}-${index}`);
    await Promise.all(names.map((model) => alone.chatCompletion(`team-${team}`, { model, messages })));
  }
  console.log(
    `rotation: ${calls} calls and ${writes} writes meanwhile, ${JSON.stringify(between)} after the second kill`,
  );
  await alone.close();
  await provider.close();
});
