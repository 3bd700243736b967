// Browser storage that never throws: a browser that forbids it gets memory instead.

class MemoryStorage implements Storage {
  private readonly items = new Map<string, string>()
  get length(): number {
    return this.items.size
  }
  clear(): void {
    this.items.clear()
  }
  getItem(key: string): string | null {
    return this.items.get(key) ?? null
  }
  key(index: number): string | null {
    return [...this.items.keys()][index] ?? null
  }
  removeItem(key: string): void {
    this.items.delete(key)
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value)
  }
}

export function openStorage(get: () => Storage): Storage {
  try {
    const storage = get()
    storage.setItem('portico.probe', '1')
    storage.removeItem('portico.probe')
    return storage
  } catch {
    return new MemoryStorage()
  }
}
