export type { Answer } from './calls/answer.ts';
export type { AttemptRecord } from './calls/attempt.ts';
export type { TeamChatCompletion } from './calls/chat-completion.ts';
export type { DeploymentHealth } from './calls/health.ts';
export type { MemoryReservation } from './calls/memory-budget.ts';
export type { Receipt } from './calls/receipt.ts';
export { callChannelName } from './calls/report.ts';
export type { Call } from './calls/request.ts';
export type { Caller } from './calls/resolve.ts';
export type { CallOptions } from './calls/team-client.ts';
export { type TeamCallOptions, teamBaseUrl } from './calls/team-fetch.ts';
export type { TeamHealth } from './calls/team-health.ts';
export type { TestResult } from './calls/test-call.ts';
export type { Tokens } from './calls/usage.ts';
export { type ErrorBody, errorCodes, RouterError, type RouterErrorCode } from './errors.ts';
export { type CallError, isRouterError } from './is-router-error.ts';
export type { Logger } from './log.ts';
export type { CloseOptions, RouterOptions } from './options.ts';
export { TeamModelRouter } from './router.ts';
export type { KeyBody, KeyPatch, KeyType, ModelBody, ModelPatch, TeamBody, TeamPatch } from './schemas.ts';
export { type EncryptionKey, generateEncryptionKey } from './secrets/keyring.ts';
export { type CopyOptions, type CopyProgress, type CopyResult, copyStorage } from './storage/copy.ts';
export { memoryStorage } from './storage/memory.ts';
export type {
  ListedEntry,
  ListPage,
  OperationOptions,
  Storage,
  StorageEvent,
  StoredValue,
  Version,
} from './storage/storage.ts';
export type { Actor, ModelOptions } from './teams/actor.ts';
export type { KeyList, KeyPage } from './teams/key-management.ts';
export type { KeyRegeneration } from './teams/key-regeneration.ts';
export type { VerifiedKey } from './teams/key-verifier.ts';
export type { KeyView, NewKey } from './teams/keys.ts';
export type { UnreadableTeam } from './teams/listing.ts';
export type { ModelGroup, ModelGroupList } from './teams/model-groups.ts';
export type { RotationOptions, RotationProgress } from './teams/rotation.ts';
export type { SettingsView } from './teams/settings.ts';
export type { ListTeamsOptions, TeamPage } from './teams/team-management.ts';
export type {
  ListedTeam,
  ModelDetails,
  ModelInfoView,
  ModelList,
  ModelParamsView,
  ModelStamps,
  ModelView,
  TeamInfo,
  TeamView,
} from './teams/views.ts';
