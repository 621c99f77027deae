/**
 * What a store of many teams costs: adding a model to a new team, looking up a team that is not in memory, and listing
 * 100 teams, with 1 000 teams of 5 models and with 100 000 of them in one PostgreSQL, in turns, through the router; and
 * the memory of a process that has seen three times as many teams as it may keep. Fails if a goal is missed.
 *
 * It starts a PostgreSQL of its own in a temporary folder. The records are made by the router's own code, with each
 * secret sealed, and put in by the thousand.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { generateEncryptionKey, TeamModelRouter } from 'team-model-router';
import { KeyRing } from '../src/secrets/keyring.ts';
import { postgresStorage, postgresTableSql } from '../src/storage/postgres/index.ts';
import { newVersion } from '../src/storage/support/version.ts';
import { insertDeployment, makeDeployment } from '../src/teams/management/edit-model.ts';
import { encode, modelPointerKey, newRecord, recordKey } from '../src/teams/records/team-record.ts';
import { startPostgres } from '../test/support/postgres-server.ts';

const sizes = { small: 1_000, large: 100_000 };
const modelsPerTeam = 5;
const rounds = 15;
const perRound = { add: 20, cold: 40, list: 3 };
const mostRatio = 1.5;
const keptTeams = 5_000;

const folder = mkdtempSync(join(tmpdir(), 'team-model-router-scale-'));
chmodSync(folder, 0o755);
const server = await startPostgres(join(folder, 'data'), ['fsync=off', 'max_wal_size=4GB']);
const pool = new pg.Pool({ connectionString: server.url });
const encryptionKey = generateEncryptionKey('k');
const ring = new KeyRing([encryptionKey]);
const stamp = { at: new Date().toISOString(), by: 'bench' };
const params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef' };

const teamName = (index: number) => `team-${String(index).padStart(6, '0')}`;

try {
  console.log(
    `${new Date().toISOString()}, Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores`,
  );
  for (const [size, teams] of Object.entries(sizes)) await fill(size, teams);
  const routers = { small: open('small'), large: open('large') };
  const times: Record<string, { small: number[]; large: number[] }> = {};
  for (let round = 0; round < rounds; round++) {
    for (const size of round % 2 === 0 ? (['small', 'large'] as const) : (['large', 'small'] as const)) {
      for (const [name, run] of Object.entries(operations(routers[size], size, round))) {
        const begun = performance.now();
        const count = await run();
        times[name] ??= { small: [], large: [] };
        times[name][size].push((performance.now() - begun) / count);
      }
    }
  }
  for (const [name, { small, large }] of Object.entries(times)) {
    const [few, many] = [median(small), median(large)];
    const ratio = many / few;
    report(
      `${name}: ${few.toFixed(2)} ms among ${sizes.small} teams, ${many.toFixed(2)} ms among ${sizes.large}, ratio ${ratio.toFixed(2)}`,
      ratio <= mostRatio,
    );
  }
  await Promise.all([routers.small.close(), routers.large.close()]);
  await measureMemory();
} finally {
  await pool.end();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Puts teams of real records into a table of their own. */
async function fill(table: string, teams: number): Promise<void> {
  const begun = performance.now();
  await pool.query(postgresTableSql({ table }));
  for (let start = 0; start < teams; start += 1_000) {
    const rows: [key: string, value: string][] = [];
    for (let index = start; index < start + 1_000; index++) {
      const teamId = teamName(index);
      const record = newRecord(teamId, stamp.at, stamp.by);
      for (let model = 0; model < modelsPerTeam; model++) {
        const deployment = makeDeployment(ring, teamId, { params, info: undefined }, stamp);
        insertDeployment(record, `model-${model}`, deployment);
        rows.push([modelPointerKey(deployment.id), JSON.stringify({ team_id: teamId })]);
      }
      rows.push([recordKey(teamId), encode(record)]);
    }
    await pool.query(
      `INSERT INTO "${table}" (key, value, version) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])`,
      [rows.map(([key]) => key), rows.map(([, value]) => value), rows.map(newVersion)],
    );
  }
  await pool.query(`VACUUM ANALYZE "${table}"`);
  const { rows } = await pool.query(
    `SELECT count(*), pg_total_relation_size('"${table}"') AS bytes FROM "${table}"`,
  );
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    `${teams} teams of ${modelsPerTeam} models: ${rows[0].count} rows, ${Math.round(rows[0].bytes / 1e6)} MB, ${seconds.toFixed(0)} s`,
  );
}

function open(table: string, maxTeams = keptTeams): TeamModelRouter {
  return new TeamModelRouter({
    storage: postgresStorage(pool, { table }),
    encryptionKeys: [encryptionKey],
    maxTeams,
  });
}

/** Each gives how many times it did what it is called. */
function operations(router: TeamModelRouter, size: keyof typeof sizes, round: number) {
  return {
    'adding a model to a new team': async () => {
      for (let index = 0; index < perRound.add; index++) {
        await router.addModel(`new-${round}-${index}`, {
          model_name: 'my-team-model',
          litellm_params: params,
        });
      }
      return perRound.add;
    },
    'looking up a team that is not in memory': async () => {
      // No team twice: spread over all that there are.
      const step = sizes[size] / (rounds * perRound.cold);
      for (let index = 0; index < perRound.cold; index++) {
        await router.isTeamBlocked(teamName(Math.floor((round * perRound.cold + index) * step)));
      }
      return perRound.cold;
    },
    'listing 100 teams': async () => {
      let cursor: string | undefined;
      for (let page = 0; page < perRound.list; page++) {
        const { teams, cursor: next } = await router.listTeams({
          limit: 100,
          ...(cursor === undefined ? {} : { cursor }),
        });
        if (teams.length !== 100) throw new Error(`a page of ${teams.length} teams`);
        cursor = next;
      }
      return perRound.list;
    },
  };
}

/** The heap after as many teams as are kept, and after three times as many. */
async function measureMemory(): Promise<void> {
  const router = open('large');
  const heaps: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    for (let index = 0; index < keptTeams; index += 20) {
      const names = Array.from({ length: 20 }, (_, offset) => teamName(turn * keptTeams + index + offset));
      await Promise.all(names.map((name) => router.isTeamBlocked(name)));
    }
    globalThis.gc?.();
    heaps.push(process.memoryUsage().heapUsed / 1e6);
  }
  const [first = 0, , last = 0] = heaps;
  const shown = heaps.map((heap) => heap.toFixed(0)).join(', ');
  report(
    `heap after ${[1, 2, 3].map((turn) => turn * keptTeams).join(', ')} teams, ${keptTeams} kept: ${shown} MB`,
    last <= 1.2 * first,
  );
  await router.close();
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function report(line: string, good: boolean): void {
  console.log(`${good ? 'ok    ' : 'MISSED'} ${line}`);
  if (!good) process.exitCode = 1;
}
