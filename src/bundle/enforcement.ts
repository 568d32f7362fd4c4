/** What becomes of one property that was asked for. */
export interface EnforcementEntry {
  /** Container that it is about; empty for the sandbox. */
  container: string;
  /** Field of the spec, such as securityContext.capabilities.add. */
  property: string;
  requested: string;
  enforced: boolean;
  /** By what means, or what prevents it. */
  mechanism: string;
  /** What to do or to know. */
  note: string;
}
