"""Every error code that the API's documents list or that our own service chose: status, text, whether to retry.

Source: reference/errors.md §3 to §5. Codes that only our service has are in ``_CHOSEN``; no document gives CI's own.
What a client does between two attempts is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code; ``retry`` tells whether the same call may succeed a little later without any change to it.

    Whether a call may be repeated at all is another question: ``POST /jobs`` may not (it would make a second job).
    """

    code: str
    status: int
    message: str
    retry: bool = False


_OK: Final = 200
_RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
_RETRIED: Final = frozenset(
    {
        "IncompleteBody",
        "InternalError",
        "KmsFreqControl",
        "PathConflict",
        "RequestTimeout",
        "RestoreAlreadyInProgress",
        "ServiceUnavailable",
        "SlowDown",
        "UploadConflict",
        "UserNetworkTooSlow",
    }
)

_DOCUMENTED: Final[Mapping[int, Mapping[str, str]]] = {
    400: {
        "ActionAccelerateNotSupported": "The operation does not support acceleration.",
        "AttachmentFull": "There are too many attachments.",
        "BadDigest": "The Content-MD5 does not match the body.",
        "BadRequest": "The request is not understood.",
        "BucketAccelerateNotEnabled": "Acceleration is not enabled for the bucket.",
        "BucketNameTooLong": "The bucket name is too long.",
        "BucketVersionNotOpen": "Versioning is not enabled for the bucket.",
        "DNSRecordVerifyFailed": "The domain's DNS record could not be verified.",
        "EntitySizeNotMatch": "The body's size is not what was announced.",
        "EntityTooLarge": "The body is larger than allowed.",
        "EntityTooSmall": "The part is smaller than allowed.",
        "ExpiredToken": "The security token has expired.",
        "ImageResolutionExceed": "The picture has too many pixels.",
        "ImageTooLarge": "The picture is too large.",
        "IncompleteBody": "The body is shorter than Content-Length.",
        "IncorrectNumberOfFilesInPostRequest": "A form upload holds exactly one file.",
        "InvalidArgument": "A parameter is missing or not valid.",
        "InvalidBucketName": "The bucket name is not valid.",
        "InvalidCopySource": "The source of the copy is not valid.",
        "InvalidDelimiter": "The delimiter is not valid.",
        "InvalidDigest": "The Content-MD5 is not a valid digest.",
        "InvalidImageFormat": "The picture's format is not supported.",
        "InvalidImageSource": "The picture is not valid.",
        "InvalidLocationConstraint": "The region is not valid.",
        "InvalidObjectName": "The key is not valid.",
        "InvalidPart": "A part of the upload does not exist.",
        "InvalidPartOrder": "The parts are not in ascending order.",
        "InvalidPicOperations": "The picture operations are not valid.",
        "InvalidPolicyDocument": "The policy of the form upload is not valid.",
        "InvalidRegionName": "The region is not valid.",
        "InvalidRequest": "The request is not valid in this state.",
        "InvalidSHA1Digest": "The SHA-1 header is not a valid digest.",
        "InvalidTag": "The tag is not valid.",
        "InvalidTargetBucketForLogging": "The target bucket for logs is not valid.",
        "InvalidURI": "The address is not valid.",
        "InvalidUploadStatus": "The upload is finished or aborted.",
        "InventoryFull": "There are too many inventories.",
        "KeyTooLong": "The key is too long.",
        "ListPartUploadIdIsEmpty": "The upload id is empty.",
        "MalformedPOSTRequest": "The form upload is malformed.",
        "MalformedPolicy": "The policy is malformed.",
        "MalformedXML": "The body is not the XML that was expected.",
        "MissingRequestBodyError": "The request needs a body.",
        "NotSupportedStorageClass": "The storage class is unknown.",
        "PolicyFull": "There are too many policies.",
        "RequestTimeout": "The body was not received in time.",
        "SSEHeaderNotAllowed": "Encryption headers are not allowed here.",
        "TooManyBuckets": "There are too many buckets.",
        "UnexpectedContent": "The request takes no body.",
        "UserNetworkTooSlow": "The body was received too slowly.",
        "XMLSizeLimit": "The XML is larger than allowed.",
    },
    402: {"PaymentRequired": "The account is in arrears."},
    403: {
        "AccessDenied": "Access denied.",
        "AccessForbidden": "Access forbidden.",
        "InvalidAccessKeyId": "The SecretId is unknown.",
        "InvalidObjectState": "The object is archived and not restored.",
        "NoProcessAuthority": "There is no right to data processing.",
        "RequestTimeTooSkewed": "The client's clock is too far off.",
        "SignatureDoesNotMatch": "The signature does not match.",
    },
    404: {
        "NoSuchBucket": "The specified bucket does not exist.",
        "NoSuchCopySource": "The source of the copy does not exist.",
        "NoSuchJob": "The specified job does not exist.",
        "NoSuchKey": "The specified key does not exist.",
        "NoSuchUpload": "The specified upload does not exist.",
        "NoSuchVersion": "The specified version does not exist.",
    },
    405: {
        "MethodNotAllowed": "The method is not allowed for this resource.",
        "RestoreNonArchiveObject": "Only an archived object can be restored.",
        "UploadIdNotSupported": "The object takes no upload id.",
    },
    409: {
        "AppendPositionErr": "The position is not the object's length.",
        "BucketAlreadyExists": "The bucket name is taken.",
        "BucketAlreadyOwnedByYou": "The bucket exists already.",
        "BucketNotEmpty": "The bucket is not empty.",
        "FileAlreadyExists": "The key exists already.",
        "ObjectLocked": "The object is locked.",
        "ObjectNotAppendable": "The object cannot be appended to.",
        "PathConflict": "The path is being changed by another request.",
        "RestoreAlreadyInProgress": "The object is being restored already.",
        "UploadConflict": "The upload is being changed by another request.",
    },
    411: {"MissingContentLength": "The request needs a Content-Length."},
    412: {"PreconditionFailed": "A precondition of the request does not hold."},
    416: {"InvalidRange": "The range cannot be satisfied."},
    451: {
        "DomainAuditFailed": "The domain did not pass its audit.",
        "UnavailableForLegalReasons": "The object is blocked.",
    },
    500: {"InternalError": "The service failed."},
    501: {"NotImplemented": "The service does not do that."},
    503: {
        "KmsFreqControl": "The key service is overloaded.",
        "ServiceUnavailable": "The service is not available at the moment.",
        "SlowDown": "There are too many requests.",
    },
}
_CHOSEN: Final[Mapping[int, Mapping[str, str]]] = {
    # Codes of finished jobs, which stand in a reply with status 200.
    _OK: {
        "Success": "",
        "InvalidSource": "A source cannot be read as a video.",
        "Timeout": "The job took longer than allowed.",
    },
    400: {"MediaBucketUnbound": "media bucket unbinded, bucket's host is unavailable"},  # the text is the documents'
    404: {
        "NoSuchQueue": "The specified queue does not exist.",
        "NoSuchTemplate": "The specified template does not exist.",
    },
    409: {"InvalidJobState": "The job cannot be cancelled in its state."},
}


def _table(*tables: Mapping[int, Mapping[str, str]]) -> Iterator[ErrorCode]:
    for table in tables:
        for status, codes in table.items():
            for code, message in codes.items():
                yield ErrorCode(code, status, message, retry=code in _RETRIED)


def _by_code(codes: Iterable[ErrorCode]) -> Mapping[str, ErrorCode]:
    return MappingProxyType({entry.code: entry for entry in codes})


CODES: Final = _by_code(_table(_DOCUMENTED, _CHOSEN))
"""Every known code by its name."""


def error_code(code: str, status: int = 500) -> ErrorCode:
    """Return a known code, or one made for an unknown name, whose ``status`` then decides about retrying."""
    known = CODES.get(code)
    return known or ErrorCode(code, status, "", retry=status in _RETRIED_STATUSES)
