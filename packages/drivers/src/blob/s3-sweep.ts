import { dayEnded } from './place.ts'
import { ifThere, type S3Client } from './s3-client.ts'

/**
 * Removes from every mesh's bucket the uploads not written to since `before`, and what is left of the days that were over by then. MinIO lists uploads by their
 * exact name alone, so that there this finds none; it removes those older than a day by itself.
 */
export async function sweepBuckets(client: S3Client, before: number): Promise<void> {
  for (const { name } of await client.listBuckets()) {
    if (!/^mesh-[a-z2-7]{32}$/.test(name)) continue
    await ifThere(() => sweepUploads(client, name, before))
    await ifThere(() => sweepDays(client, name, before))
  }
}

async function sweepUploads(client: S3Client, bucket: string, before: number): Promise<void> {
  let [key, id] = ['', '']
  for (;;) {
    const page = await client.listIncompleteUploadsQuery(bucket, '', key, id, '')
    for (const upload of page.uploads) {
      if (upload.initiated.getTime() >= before) continue
      const parts = (await ifThere(() => client.partsOf(bucket, upload.key, upload.uploadId))) ?? []
      if (parts.some((part) => part.lastModified.getTime() >= before)) continue
      await ifThere(() => client.abortMultipartUpload(bucket, upload.key, upload.uploadId))
    }
    if (!page.isTruncated) return
    key = page.nextKeyMarker
    id = page.nextUploadIdMarker
  }
}

async function sweepDays(client: S3Client, bucket: string, before: number): Promise<void> {
  const days: string[] = []
  for await (const item of client.listObjectsV2(bucket, 'ephemeral/') as AsyncIterable<{ prefix?: string }>) {
    const day = item.prefix?.split('/')[1]
    if (day !== undefined && dayEnded(day, before)) days.push(day)
  }
  for (const day of days) await removeAll(client, bucket, `ephemeral/${day}/`)
}

async function removeAll(client: S3Client, bucket: string, prefix: string): Promise<void> {
  for await (const item of client.listObjectsV2(bucket, prefix, true) as AsyncIterable<{ name?: string }>) {
    if (item.name !== undefined) await client.removeObject(bucket, item.name)
  }
}
