/** The database servers that a guest of the testbed can have, by the names of `--dbms`. */

export const databaseSystems = ['mariadb', 'mysql', 'postgresql'] as const;
export type DatabaseSystem = (typeof databaseSystems)[number];
