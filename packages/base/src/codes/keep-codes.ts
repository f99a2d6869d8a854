import type { CodeFamily } from '../code-row.ts';

export const keepCodes = {
  ERR_KEEP_REFUSED: {
    meaning: 'The authority does not issue a certificate that is to be kept fresh.',
    hint: 'ask its operator; to order for others the keeper must stand under api.registrars in ca.yaml',
    exit: 1,
  },
  ERR_KEEP_ISSUED: {
    meaning: 'A certificate was issued, and is not what its entry wants. The files of before stay.',
    hint: 'compare the entry with the profile of the authority that issued it',
    exit: 1,
  },
  ERR_KEEP_FILES: {
    meaning: 'The files of a certificate could not be written.',
    hint: 'check who may write there, and that the directories exist; giving files away needs root',
    exit: 2,
  },
  ERR_KEEP_OWNER: {
    meaning: 'A file is to belong to a user or a group that this machine does not have.',
    hint: 'correct owner or group of the entry, or make the user',
    exit: 2,
  },
  ERR_KEEP_PASSWORD: {
    meaning: 'The password of a key store cannot be had, or is none that Java takes.',
    hint: 'put 6 to 256 printable ASCII characters into the file that password_file names',
    exit: 2,
  },
  ERR_KEEP_COMMAND: {
    meaning: 'The command after a renewal failed. The new files are in place.',
    hint: 'run it by hand; it is tried again at the next look',
    exit: 1,
  },
  ERR_KEEP_UNPROVED: {
    meaning: 'The consumer of a certificate does not serve the one that is in its files.',
    hint: 'make it read its files again: does its command reload it, and does it use these files',
    exit: 1,
  },
} as const satisfies CodeFamily;
