/** Names that blocks of the documentation and examples of docstrings use without declaring them. */

import type { Express as App } from 'express';
import type { createClient } from 'redis';
import type { Call, EncryptionKey, ModelBody, Storage, TeamModelRouter, UsageEvent } from 'team-model-router';
import type { Gateway } from 'team-model-router/http';

declare global {
  const router: TeamModelRouter;
  const app: App;
  const gateway: Gateway;
  const storage: Storage;
  const encryptionKeys: EncryptionKey[];
  const masterKey: string;
  const teamId: string;
  const messages: { role: 'user'; content: string }[];
  const call: Call;
  const body: ModelBody;
  const modelId: string;
  const key: string;
  const api_key: string | undefined;
  const client: ReturnType<typeof createClient>;
  function myStorage(): Storage;
  function insertUsage(events: readonly UsageEvent[]): Promise<void>;
  function onUsage(events: readonly UsageEvent[]): Promise<void>;

  namespace Express {
    interface Request {
      session: { user?: { id: string; teamId: string; isAdmin: boolean } };
    }
  }
}
