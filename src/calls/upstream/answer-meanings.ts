/** What a provider's answer says of the call, the credential, the address or the provider. */
export type AnswerMeaning =
  | 'success'
  | 'key_rejected'
  | 'key_lacks_permission'
  | 'quota_exhausted'
  | 'rate_limited'
  | 'overloaded'
  | 'model_not_found'
  | 'deployment_not_found'
  | 'api_version_rejected'
  | 'wrong_endpoint'
  | 'wrong_operation_for_model'
  | 'region_blocked'
  | 'content_refused'
  | 'context_too_long'
  | 'bad_request'
  | 'not_an_api'
  | 'unknown';

type Words = readonly [meaning: AnswerMeaning, pattern: RegExp];
type Codes = readonly [meaning: AnswerMeaning, codes: readonly string[]];

/**
 * Codes that decide whatever the message says: some messages quote the caller's own text. In lower case without punctuation, so
 * that `insufficient_quota`, `InsufficientQuota` and `INSUFFICIENT-QUOTA` are one.
 */
export const decisiveCodes: readonly Codes[] = [
  [
    'content_refused',
    [
      'contentfilter',
      'contentfiltered',
      'contentblocked',
      'contentpolicyviolation',
      'contentpolicyviolationerror',
      'contentmoderation',
      'contentmoderationerror',
      'datainspectionfailed',
      'imagecontentpolicyviolation',
      'invalidprompt',
      'moderationblocked',
      'promptblocked',
      'responsibleaipolicyviolation',
      'safetyviolation',
    ],
  ],
  [
    'context_too_long',
    [
      'contextlengthexceeded',
      'contextwindowexceeded',
      'contextwindowexceedederror',
      'exceedcontextsizeerror',
      'promptoolong',
      'prompttoolong',
      'tokenslimitreached',
    ],
  ],
  [
    'quota_exhausted',
    [
      'arrearage',
      'allocationquotafreetieronly',
      'billinghardlimitreached',
      'billingnotactive',
      'budgetexceeded',
      'creditsexhausted',
      'exceededcurrentquotaerror',
      'insufficientbalance',
      'insufficientcredits',
      'insufficientfunds',
      'insufficientquota',
      'paymentrequired',
      'spendinglimitexceeded',
      'spendinglimitreached',
    ],
  ],
  [
    'key_rejected',
    [
      'accountdeactivated',
      'apikeyexpired',
      'apikeyinvalid',
      'authenticationtypedisabled',
      'expiredapikey',
      'expiredkey',
      'incorrectapikey',
      'invalidapikey',
      'mismatchedorganization',
      'missingapikey',
      'noorganization',
      'organizationrestricted',
      'tokennotfoundindb',
      'wrongapikey',
    ],
  ],
  ['region_blocked', ['ipnotauthorized', 'unsupportedcountryregionterritory']],
  ['deployment_not_found', ['dedicatedendpointnotrunning', 'deploymentnotfound']],
  ['model_not_found', ['modelnotavailable', 'modeldecommissioned', 'unknownmodel']],
  ['wrong_operation_for_model', ['operationnotsupported']],
  [
    'overloaded',
    ['engineoverloaded', 'engineoverloadederror', 'modelloading', 'overloadederror', 'serverisoverloaded'],
  ],
];

/**
 * Words, the first that match decide. Every gap in a pattern is bounded and the text is short, so matching is linear. `\w` is not
 * used where a word may end in punctuation.
 */
export const meaningWords: readonly Words[] = [
  [
    'context_too_long',
    /context (length|window|size)|(prompt|input|request|messages?|body) (is|are|was) too (long|large for)|too many (input |prompt )?tokens|(token count|number of tokens|tokens) .{0,60}exceeds?\b|exceeds? .{0,60}(maximum|max|limit of) .{0,40}tokens|reduce the length|request body too large for|maximum .{0,20}number of (input )?tokens|too large for model with \d|inputs? tokens .{0,60}must be/,
  ],
  [
    'content_refused',
    /content (management|filter|policy|policies|moderation)|content filtering|(was|were|is|are|been) flagged|safety (system|polic|filter|guideline)|usage polic(y|ies)|violat\S+ .{0,60}polic|inappropriate content|prohibited content|sensitive (content|words)|responsible ai/,
  ],
  [
    'quota_exhausted',
    /limit: 0\b|(insufficient|not enough|no remaining|run out of|ran out of|out of|depleted|exhausted (your|all|the)|used all|any) .{0,24}(credits?|balance|funds?|quota)\b|credit balance|credits? .{0,40}(expired|exhausted|depleted|too low|used up|insufficient|reached)|credit limit|balance .{0,30}(too low|insufficient|not enough|exhausted)|spending (limit|cap)|exceeded .{0,40}budget|budget .{0,40}exceeded|monthly .{0,30}(quota|credits|limit|allowance)|hard limit has been reached|payment (is )?required|(in|account .{0,20}) arrears?\b|overdue payment|account is in good standing|key limit exceeded|\u4f59\u989d|\u6b20\u8d39/,
  ],
  [
    'rate_limited',
    /rate.?limit(s|ed|ing)?\b|too many (concurrent )?requests|(requests?|tokens?|calls?|images?|quota metric) .{0,60}per.?(second|minute|min|hour|day)\b|\b[rt]p[smhd]\b|(try again|retry) (in|after) (about )?\d|throttl|(concurrency|concurrent requests?|parallel requests?) .{0,40}(limit|exceeded|reached|max)|max (organization )?concurrency|limit exceeded|resource has been exhausted|quota exceeded for/,
  ],
  [
    'quota_exhausted',
    /(exceed\S*|over|reached|exhausted|used up) .{0,40}(quota|usage limit|plan)\b|quota .{0,40}(exceeded|exhausted|reached|used up)|usage limit .{0,20}reached|check your (plan|billing)|billing (is not|has not|to be|must be|not) .{0,20}(enabled|active|set up)|requires billing|free (tier|trial) .{0,40}(exceeded|exhausted|ended|expired|only)/,
  ],
  [
    'overloaded',
    /overload|(at|over|beyond|exceeded|out of|no|insufficient) .{0,16}capacity|capacity (is |was )?(exceeded|reached)|high (traffic|demand|load)|(model|server|service|engine) (is )?(too |currently |very )?(busy|loading|starting|unavailable|warming)|loading model|temporarily unavailable|no healthy upstream|upstream (connect|request|server) .{0,10}(error|timeout|timed out)|bad gateway|gateway time-?out|error code: 5\d\d|service unavailable|no deployments? available/,
  ],
  [
    'model_not_found',
    /no endpoints found|\bmodels?\b.{0,160}(does not exist|doesn't exist|do not exist|not exist|not found|is not valid|not a valid|not available|not recognized|unavailable|deprecated|decommissioned|retired|no longer|not deployed|not loaded|not supported by any|is unknown)|(unknown|invalid|unsupported|no such|non-existent|unrecognized|incorrect) (model|engine)\b|not a valid model|model not exist|no models? (loaded|found|available|named)|(function|engine) .{0,80}not found|(does not|do not|don't|no) (have )?access to (the )?(specified |requested )?model|unable to access .{0,24}model|(requested|specified) model is not (supported|available)/,
  ],
  [
    'deployment_not_found',
    /deployment .{0,80}(does not exist|not exist|not found)|endpoint .{0,120}(is|was) (not running|paused|stopped|scaled)/,
  ],
  [
    'wrong_operation_for_model',
    /not a (chat|completion|text|embedding)s? model|(operation|endpoint|api) .{0,40}(does not work|not work|is not supported|not supported|unsupported) .{0,40}\bmodel|model .{0,80}(does not|doesn't|do not|not) support .{0,40}(chat|completion|embedding|responses|endpoint|operation|\bapi\b|generat|method|task)|model .{0,80}(only|not) supported in|(cannot|can't|can not) be used (with|for|in) .{0,40}(chat|completion|embedding|responses|endpoint|operation|api)|not supported in the v1|(server|model) does not support embeddings?|not allowed to (sample|generate|embed)|does not support (chat|completions?|embeddings?|responses|messages|audio|images?)\b/,
  ],
  [
    'api_version_rejected',
    /api.?versions? .{0,60}(not supported|unsupported|invalid|unknown|is required|missing|not valid)|(unsupported|invalid|unknown|missing|required|only for|newer) .{0,24}api.?version/,
  ],
  [
    'wrong_endpoint',
    /invalid url|unknown (request )?(url|endpoint|path|route)|unrecognized (request )?(url|endpoint|path)|no (handler|route|such route|such endpoint|such path)|unexpected endpoint|(path|url|route|page|endpoint) .{0,80}(not found|not exist|not defined)|cannot (post|get|put|patch|delete) \/|method not allowed|resource not found|double check your url|use the correct endpoint|^(404 )?(page )?not found\.?$/,
  ],
  [
    'region_blocked',
    /(country|countries|region|territory|location)\b.{0,60}(not supported|unsupported|not available|not allowed|blocked|restricted)|not available in your|firewall|virtual network|\bip( address)?\b.{0,60}(not (on |in )?(the )?(allow|authori|permit)|blocked|denied|not whitelisted)|public (network )?access is disabled|private (endpoint|link)/,
  ],
  [
    'key_lacks_permission',
    /insufficient (permissions?|scopes?|privileges?)|missing (scopes?|permissions?)|must be verified|lacks? .{0,40}(permission|data action|role|scope|access)|(does|do) not have .{0,24}(permission|access|privilege|role)|(doesn't|don't) have .{0,24}(permission|access)|not (authori[sz]ed|allowed|permitted) to|not allowed to access|key can only|has not been used in project|permission denied/,
  ],
  [
    'key_rejected',
    /(api|access|subscription|secret|security|auth\S{0,12}|bearer|service|provider)[ -]?(key|token)s?\b.{0,60}(invalid|incorrect|expired|not valid|revoked|malformed|missing|not found|disabled|deactivated|deleted|leaked|suspended|not exist|rejected|required|blocked|wrong|unknown|inactive)|(invalid|incorrect|wrong|expired|missing|bad|unknown|malformed|revoked|no|inactive) .{0,30}(api[ -]?key|access token|security token|(server )?token passed|api token|credentials?\b|subscription key|authori[sz]ation|authentication|auth header|x-api-key)|token (seems|is) (invalid|expired|incorrect)|unauthori[sz]ed|unauthenticated|not authenticated|authentication (fails|failed|failure|error|is required|required)|authori[sz]ation (fails|failed|required)|(account|user|organization|project|team|workspace)\b .{0,60}(deactivated|disabled|suspended|terminated|banned|restricted|blocked|archived)|(user|account|organization) not found|must be a member of an organization|organization.{0,40}should match|provide an? (valid )?api key|key based authentication/,
  ],
  ['key_lacks_permission', /access (is )?denied|forbidden/],
];

/** Codes that decide if no words did. */
export const meaningCodes: readonly Codes[] = [
  [
    'rate_limited',
    [
      'ratelimit',
      'ratelimited',
      'ratelimiterror',
      'ratelimitexceeded',
      'ratelimitreached',
      'ratelimitreachederror',
      'requestquotaexceeded',
      'resourceexhausted',
      'throttled',
      'throttling',
      'throttlingexception',
      'tokenquotaexceeded',
      'toomanyrequests',
      'toomanyrequestserror',
    ],
  ],
  ['quota_exhausted', ['creditlimitexceeded', 'insufficientcredit', 'outofcredits', 'quotaexceeded']],
  [
    'overloaded',
    [
      'capacityexceeded',
      'modelnotready',
      'modelnotreadyexception',
      'modeltoobusy',
      'nocapacity',
      'overloaded',
      'queueexceeded',
      'serverbusy',
      'serviceunavailable',
      'serviceunavailableerror',
      'slowdown',
      'unavailable',
      'unavailableerror',
    ],
  ],
  [
    'model_not_found',
    [
      'invalidmodel',
      'modeldeprecated',
      'modelnotexist',
      'modelnotexists',
      'modelnotfound',
      'modelnotfounderror',
      'modelnotsupported',
      'nosuchmodel',
    ],
  ],
  ['api_version_rejected', ['apiversionnotsupported', 'invalidapiversion', 'unsupportedapiversion']],
  ['wrong_endpoint', ['invalidurl', 'methodnotallowed', 'routenotfound', 'unknownurl', 'urlnotfound']],
  ['wrong_operation_for_model', ['notsupportederror', 'unsupportedoperation']],
  [
    'key_lacks_permission',
    [
      'accessdenied',
      'accessdeniedexception',
      'insufficientpermissions',
      'insufficientscope',
      'keymodelaccessdenied',
      'missingscopes',
      'noaccess',
      'permissiondenied',
      'permissiondeniederror',
      'permissionerror',
      'servicedisabled',
    ],
  ],
  [
    'key_rejected',
    [
      'authenticationerror',
      'authenticationfailed',
      'badcredentials',
      'invalidauthentication',
      'invalidauthenticationerror',
      'invalidcredentials',
      'invalidissuer',
      'invalidtoken',
      'unauthenticated',
      'unauthorized',
      'providerauthenticationfailed',
    ],
  ],
];

/** Codes of a request that is at fault itself, where the status does not say something else. */
export const requestCodes: ReadonlySet<string> = new Set([
  'badrequest',
  'badrequesterror',
  'emptyarray',
  'extraforbidden',
  'invalidargument',
  'invalidparameter',
  'invalidrequest',
  'invalidrequesterror',
  'invalidtype',
  'invalidvalue',
  'missingrequiredparameter',
  'unknownparameter',
  'unprocessableentity',
  'unsupportedparameter',
  'unsupportedvalue',
  'validationerror',
]);
