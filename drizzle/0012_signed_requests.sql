CREATE TABLE "mesh"."signed_request" (
	"mesh_id" text NOT NULL,
	"session_pubkey" text NOT NULL,
	"nonce" text NOT NULL,
	"until" bigint NOT NULL,
	CONSTRAINT "signed_request_mesh_id_session_pubkey_nonce_pk" PRIMARY KEY("mesh_id","session_pubkey","nonce")
);
